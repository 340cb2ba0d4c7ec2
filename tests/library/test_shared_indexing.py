"""Several processes that index one library: the work is shared, and a process that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from forked import PATIENCE
from kindred._support.retries import LOST
from kindred.describer import Description
from kindred.errors import ImageError, LibraryError, UsageError
from kindred.images import find_images
from kindred.library import Library
from kindred.library.index_report import IndexReport
from kindred.library.shared_indexing import index_shared
from kindred.recipe import Recipe
from kindred.store import Place, PostgresUrl
from pictures import make_folder
from shared_run import Content, T, check, share

pytest.importorskip("psycopg")
from kindred.store.postgres.store import PostgresStore

PlaceFor = Callable[[str], Place]
COUNT = 40
LEASE = 0.5
"""So short a silence is usual on a busy machine: only one process at a time uses it."""


@pytest.fixture
def url(url: PostgresUrl) -> PostgresUrl:
    """The address of a library that exists."""
    PostgresStore.create(url, {"recipe": "test"}).close()
    return url


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.library.shared_indexing.POLL_SECONDS", 0.05)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos" / "a", COUNT // 2)
    make_folder(tmp_path / "photos" / "b", COUNT // 2, first=COUNT // 2)
    return tmp_path / "photos"


def exit_code(action: Callable[[PostgresUrl, Path], object], url: PostgresUrl, photos: Path) -> int | None:
    """Return how a process of its own ends that does nothing but `action`."""
    process = multiprocessing.get_context("spawn").Process(target=action, args=(url, photos))
    process.start()
    process.join(PATIENCE)
    process.kill()  # has no effect on one that has ended
    return process.exitcode


def die_later(url: PostgresUrl, photos: Path) -> None:
    content = Content(sees=lambda _: os.kill(os.getpid(), 9) if len(content.described) == 7 else None)
    share(url, content, photos, lease=LEASE)


def die_of_one_image(url: PostgresUrl, photos: Path) -> None:
    share(url, Content(sees=poison), photos, lease=LEASE)


def poison(path: Path) -> None:
    if path.name == "00011.jpg":
        os._exit(7)


def test_processes_on_overlapping_folders_describe_each_image_once(url: PostgresUrl, photos: Path) -> None:
    contents = [Content() for _ in range(3)]
    reports: list[IndexReport] = []
    roots = ([photos], [photos], [photos / "b", photos / "a"])
    together = threading.Barrier(3)

    def run(content: Content, folders: list[Path]) -> None:
        together.wait()
        reports.append(share(url, content, *folders))

    threads = [threading.Thread(target=run, args=pair) for pair in zip(contents, roots, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path for content in contents for path in content.described) == sorted(photos.rglob("*.jpg"))
    assert sum(report.indexed for report in reports) == COUNT
    assert [report.found for report in reports] == [COUNT] * 3
    with PostgresStore.open(url) as store:
        check(store, photos)
        assert len(store.runs()) == 3
        assert all(run.finished for run in store.runs())


def test_a_later_run_describes_what_is_new_or_changed(url: PostgresUrl, photos: Path) -> None:
    share(url, Content(), photos)
    again = Content()
    report = share(url, again, photos)
    assert (again.described, report.unchanged, report.indexed) == ([], COUNT, 0)
    make_folder(photos / "b", 1, first=900)
    changed, gone = photos / "a" / "00003.jpg", photos / "b" / "00030.jpg"
    changed.write_bytes(changed.read_bytes() + b"x")
    gone.rename(photos / "moved.jpg")
    report = share(url, again, photos)
    assert sorted(path.name for path in again.described) == ["00003.jpg", "00900.jpg"]
    assert (report.indexed, report.moved, report.unchanged) == (2, 1, COUNT - 2)
    with PostgresStore.open(url) as store:
        check(store, photos)


def test_the_images_of_a_killed_process_are_described_by_another(url: PostgresUrl, photos: Path) -> None:
    """It is killed after a commit, while it holds leases and searches the folders."""

    assert exit_code(die_later, url, photos) == -9
    with PostgresStore.open(url) as store:
        assert store.work_queue().count([photos]) > 0
    content = Content()
    report = share(url, content, photos, lease=LEASE)
    assert report.indexed == COUNT
    with PostgresStore.open(url) as store:
        check(store, photos)


def test_an_image_that_kills_whoever_describes_it_is_skipped_at_last(url: PostgresUrl, photos: Path) -> None:
    """Two processes are lost with the batch, two with the image alone; the fifth finishes, and later ones skip it."""

    assert [exit_code(die_of_one_image, url, photos) for _ in range(5)] == [7] * 4 + [0]
    with PostgresStore.open(url) as store:
        check(store, photos, skipped=["00011.jpg"])
    content = Content(sees=poison)
    assert share(url, content, photos).skipped == [(photos / "a" / "00011.jpg", LOST)]
    assert content.described == []


def test_a_stopped_process_returns_its_files(url: PostgresUrl, photos: Path) -> None:
    content = Content()
    report = share(url, content, photos, stop=lambda: len(content.described) >= 5)
    assert report.stopped
    assert report.indexed == 5
    rest = Content()
    share(url, rest, photos)  # at once, without waiting for a lease to end
    assert len(rest.described) == COUNT - 5
    with PostgresStore.open(url) as store:
        check(store, photos)


def test_an_interrupt_stores_what_was_described(url: PostgresUrl, photos: Path) -> None:
    def interrupt(_: Path) -> None:
        if len(content.described) == 5:
            raise KeyboardInterrupt

    content = Content(sees=interrupt)
    with pytest.raises(KeyboardInterrupt):
        share(url, content, photos)
    rest = Content()
    share(url, rest, photos)
    assert len(rest.described) == COUNT - 5


def test_an_error_of_the_search_for_files_ends_the_run(url: PostgresUrl, photos: Path) -> None:
    class Broken:
        def __iter__(self) -> Iterator[object]:
            yield from list(find_images([photos]))[:3]
            raise LibraryError("the disk is gone")

    content = Content()
    with PostgresStore.open(url) as store, pytest.raises(LibraryError, match="the disk is gone"):
        index_shared(
            store,
            content,  # type: ignore[arg-type]
            Broken(),  # type: ignore[arg-type]
            queue=store.work_queue(),
            roots=[photos],
            executor=content,
        )
    share(url, content, photos)
    with closing(PostgresStore.open(url)) as store:
        check(store, photos)


def test_a_bad_image_is_skipped_and_a_vanished_one_forgotten(url: PostgresUrl, photos: Path) -> None:
    class Failing(Content):
        def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
            for key, path in items:
                if path.name == "00004.jpg":
                    yield Description(key, error=ImageError(path, "damaged"))
                elif path.name == "00005.jpg":
                    yield Description(key, error=ImageError(path, "file vanished", final=False))
                else:
                    yield from super().describe([(key, path)])

    report = share(url, Failing(), photos)
    assert [(path.name, reason) for path, reason in report.skipped] == [
        ("00004.jpg", "damaged"),
        ("00005.jpg", "file vanished"),
    ]
    with PostgresStore.open(url) as store:
        assert [skip.reason for skip in store.skipped()] == ["damaged"]
        assert store.work_queue().count([photos]) == 0


def test_the_library_shares_a_run_with_the_same_vectors(place_for: PlaceFor, recipe: Recipe, photos: Path) -> None:
    """By its own describer, with progress over all processes; a library in a folder refuses, as does `force`."""
    progress: list[tuple[int, int]] = []
    with Library.create(place_for("postgres"), recipe=recipe) as library:
        report = library.index(
            photos, shared=True, exclude="00007.*", progress=lambda here, total: progress.append((here.seen, total))
        )
        assert (report.found, report.indexed, report.left_out.files) == (COUNT - 1, COUNT - 1, {"by pattern": 1})
        assert progress[-1][1] <= COUNT - 1
        with pytest.raises(UsageError, match="shared run"):
            library.index(photos, shared=True, force=True)
        own = [hit.path for hit in library.search(photos / "a" / "00003.jpg", k=5)]
    with Library.create(place_for("sqlite"), recipe=recipe) as library:
        library.index(photos, exclude="00007.*")
        assert [hit.path for hit in library.search(photos / "a" / "00003.jpg", k=5)] == own
        with pytest.raises(UsageError, match="on a server"):
            library.index(photos, shared=True)
