from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kindred.describer import Describer, Description
from kindred.errors import ImageError, LibraryFull
from kindred.images import Found, ImageLike, decode, find_images
from kindred.library.indexing import IndexProgress, IndexReport, files_at, index_images
from kindred.recipe import Recipe
from kindred.store import SqliteStore
from pictures import make_folder, save_picture
from tiny_model import home, make_recipe

T = TypeVar("T")


@pytest.fixture(scope="module", autouse=True)
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


class Counting(Describer):
    """A describer that notes what it was asked for."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.asked: list[Path] = []

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False, lazy: bool = False
    ) -> Generator[Description[T], None, None]:
        def noted() -> Iterator[tuple[T, ImageLike]]:
            for key, image in items:
                assert isinstance(image, Path)
                self.asked.append(image)
                yield key, image

        return super().stream(noted(), is_query=is_query, lazy=lazy)

    def names(self) -> list[str]:
        """Return what was asked for since the last call."""
        names, self.asked = sorted(path.name for path in self.asked), []
        return names


@pytest.fixture(scope="module")
def counting(recipe: Recipe) -> Counting:
    return Counting(recipe)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.create(tmp_path / "library" / "store.sqlite", {}) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos", 12)
    return tmp_path / "photos"


@pytest.fixture
def run(store: SqliteStore, counting: Counting, photos: Path) -> Callable[..., IndexReport]:
    counting.names()

    def index(**options: object) -> IndexReport:
        return index_images(store, counting, find_images(photos), **options)  # type: ignore[arg-type]

    return index


def later(path: Path) -> None:
    """Change the time of a file, as an edit would."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000_000))


def summary(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.found, report.indexed, report.unchanged, len(report.skipped), report.removed


Run = Callable[..., IndexReport]


def test_a_second_run_describes_nothing(run: Run, counting: Counting, store: SqliteStore) -> None:
    assert summary(run()) == (12, 12, 0, 0, 0)
    assert len(counting.names()) == 12
    revision = store.revision
    assert summary(run()) == (12, 0, 12, 0, 0)
    assert counting.names() == []
    assert store.revision == revision


def test_stored_vectors_are_those_of_the_describer(run: Run, store: SqliteStore, counting: Counting) -> None:
    run()
    ((ids, rows),) = store.vectors()
    for number, row in store.rows(ids).items():
        assert (row.width, row.height) in {(64, 48), (48, 64)}
        expected = counting.describe(row.path)[0]
        assert abs(rows[ids == number][0] @ expected - 1) < 0.001


def test_new_and_changed_files_are_described_and_no_others(run: Run, counting: Counting, photos: Path) -> None:
    run()
    counting.names()
    save_picture(photos / "00003.jpg", 100)  # other bytes
    later(photos / "00005.jpg")  # another time
    save_picture(photos / "new.png", 101)
    assert summary(run()) == (13, 2, 11, 0, 0)  # one was touched only
    assert counting.names() == ["00003.jpg", "new.png"]


def test_a_changed_file_has_one_vector_the_new_one(
    run: Run, store: SqliteStore, photos: Path, counting: Counting
) -> None:
    run()
    save_picture(photos / "00003.jpg", 100)
    later(photos / "00003.jpg")
    run()
    assert store.counts().vectors == 12
    (number,) = [number for number, row in all_rows(store).items() if row.name == "00003.jpg"]
    _, rows = store.fetch([number])
    assert abs(rows[0] @ counting.describe(photos / "00003.jpg")[0] - 1) < 0.001


def all_rows(store: SqliteStore) -> dict[int, Path]:
    return {number: row.path for ids, _ in store.vectors() for number, row in store.rows(ids.tolist()).items()}


def test_a_file_that_becomes_unusable_loses_its_vector_until_it_is_repaired(
    run: Run, store: SqliteStore, photos: Path
) -> None:
    run()
    file = photos / "00003.jpg"
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    assert run().skipped == [(file, "image data ends early")]
    assert (store.counts().vectors, store.counts().skipped) == (11, 1)
    file.write_bytes(whole)
    later(file)
    assert run().skipped == []
    assert (store.counts().vectors, store.counts().skipped) == (12, 0)


@pytest.mark.parametrize("change", ["nothing", "content", "name"])
def test_a_temporary_failure_keeps_the_stored_description(
    run: Run, store: SqliteStore, photos: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A permission, a disk or a package that fails in a later run says nothing of the image."""
    run()
    file = photos / "00003.jpg"
    (before,) = store.lookup([file]).values()
    if change == "content":
        save_picture(photos / "00003.jpg", 77)
        later(file)
    elif change == "name":
        file = file.rename(photos / "renamed.jpg")

    def fails(source: object, *arguments: object, **options: object) -> object:
        if source == file:
            raise ImageError(file, "cannot be read: permission denied", final=False)
        return decode(source, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("kindred.describer.network.decode", fails)
        assert run(force=True).skipped == [(file, "cannot be read: permission denied")]
    (after,) = store.lookup([file]).values()
    assert (after.uid, after.state) == (before.uid, "indexed")
    assert store.counts().vectors == 12
    assert run().indexed == (change == "content")
    assert (store.counts().vectors, store.counts().skipped) == (12, 0)


def test_a_bad_file_is_listed_every_time_but_tried_again_only_when_it_changes(
    run: Run, counting: Counting, photos: Path
) -> None:
    (photos / "bad.jpg").write_bytes(b"no image at all, not even the start of one")
    expected = [(photos / "bad.jpg", "not an image")]
    assert run().skipped == expected
    counting.names()
    assert run().skipped == expected
    assert counting.names() == []
    later(photos / "bad.jpg")
    assert run().skipped == expected
    assert counting.names() == []
    (photos / "bad.jpg").write_bytes(b"no image at all, not even the end of one")
    assert run().skipped == expected
    assert counting.names() == ["bad.jpg"]


def test_a_file_given_several_times_is_stored_once(
    store: SqliteStore, counting: Counting, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.scanning.LOOKUP", 2)
    (photos / "bad.jpg").write_bytes(b"no image at all, not even the start of one")
    twice = [photos / "bad.jpg", photos / "00001.jpg"] * 20
    report = index_images(store, counting, files_at(twice))
    assert report.found == 40 == report.indexed + report.unchanged + len(report.skipped)
    assert store.counts().images == 2


def test_a_file_that_vanishes_is_reported_and_not_kept(store: SqliteStore, counting: Counting, photos: Path) -> None:
    def vanishing() -> Iterator[Found]:
        for found in find_images(photos):
            if found.path.name == "00004.jpg":
                found.path.unlink()
            yield found

    gone = photos / "00004.jpg"
    report = index_images(store, counting, vanishing())
    assert (report.indexed, report.skipped) == (11, [(gone, "file vanished")])
    assert store.lookup([gone]) == {}
    missing = index_images(store, counting, files_at([gone]))
    assert missing.skipped == [(gone, "file vanished")]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are a matter of Linux")
def test_odd_names_and_links_are_indexed_and_found_again(run: Run, store: SqliteStore, photos: Path) -> None:
    names = [
        "with space.jpg",
        "Sacré-Cœur, été.jpg",
        "山.jpg",
        "new\nline.jpg",
        "'quote\".jpg",
        "%_*?.jpg",
        "caf\udce9.jpg",
    ]
    odd = [save_picture(photos / name, 100 + at) for at, name in enumerate(names)]
    (photos / "loop").symlink_to(photos, target_is_directory=True)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    (photos / "broken.jpg").symlink_to(photos / "nowhere.jpg")
    hidden = save_picture(photos / ".thumbs" / "a.jpg", 200)
    report = run()
    assert (report.found, report.indexed) == (12 + len(odd) + 3, 12 + len(odd))
    assert dict(report.skipped) == {
        photos / "self.jpg": "broken link",
        photos / "broken.jpg": "broken link",
        hidden: "inside a hidden folder",
    }
    assert set(store.lookup(odd)) == set(odd)
    assert set(all_rows(store).values()) >= set(odd)
    again = run(roots=[photos], prune="gone")
    assert (again.indexed, again.unchanged, again.removed) == (0, 12 + len(odd), 0)


def test_files_that_cannot_be_read_have_their_reason(photos: Path) -> None:
    (loop,) = files_at([photos / ("x" * 300)])
    assert loop.reason == "cannot be read: its name is too long"


def test_progress_counts_every_file(run: Run, photos: Path) -> None:
    (photos / "bad.jpg").touch()
    told: list[IndexProgress] = []
    report = run(progress=told.append)
    assert (told[-1].seen, told[-1].indexed, told[-1].skipped) == (13, 12, 1)
    assert [here.seen for here in told] == sorted(here.seen for here in told)
    assert 0 < told[0].seconds <= report.seconds
    assert report.images_per_second == pytest.approx(12 / report.seconds)
    told.clear()
    run(progress=told.append)
    assert told[-1].seen == 13


def test_an_interrupt_commits_what_was_described(
    run: Run, store: SqliteStore, counting: Counting, photos: Path
) -> None:
    make_folder(photos, 80, first=100)
    done = 0

    def interrupt(here: IndexProgress) -> None:
        nonlocal done
        done = here.indexed
        if here.indexed == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupt)
    assert store.counts().indexed == done == 40
    assert store.runs(1)[0].finished is None
    counting.names()
    assert summary(run()) == (92, 52, 40, 0, 0)
    assert len(counting.names()) == 52
    assert store.runs(1)[0].finished is not None


def test_a_run_stops_when_asked_and_the_next_continues(
    run: Run, store: SqliteStore, counting: Counting, photos: Path
) -> None:
    make_folder(photos, 300, first=100)
    done: list[int] = []
    report = run(progress=lambda here: done.append(here.indexed), stop=lambda: bool(done) and done[-1] >= 40)
    assert report.stopped
    assert 40 <= report.indexed < 312
    assert store.counts().indexed == report.indexed
    assert store.runs(1)[0].finished is None
    counting.names()
    again = run(stop=lambda: False)
    assert not again.stopped
    assert (again.indexed, again.unchanged) == (312 - report.indexed, report.indexed)
    assert len(counting.names()) == 312 - report.indexed


def test_a_stopped_run_prunes_nothing_and_settles_no_names(run: Run, store: SqliteStore, photos: Path) -> None:
    run()
    first, second, third = sorted(photos.iterdir())[:3]
    before = {path: known.id for path, known in store.lookup([first, second]).items()}
    third.unlink()
    swapped = first.read_bytes()
    second.rename(first)
    second.write_bytes(swapped)
    asked = iter([False, False, True])
    report = run(roots=[photos], prune="all", stop=lambda: next(asked, True))
    assert (report.stopped, report.removed, report.missing) == (True, 0, 0)
    assert {path: known.id for path, known in store.lookup([first, second]).items()} == before
    report = run(roots=[photos], prune="all")
    assert (report.moved, report.removed) == (2, 1)
    assert {path: known.id for path, known in store.lookup([first, second]).items()} == {
        first: before[second],
        second: before[first],
    }


def test_progress_names_the_skipped_files(run: Run, photos: Path) -> None:
    (photos / "bad.jpg").touch()
    named: list[tuple[Path, str]] = []
    run(progress=lambda here: named.extend(here.skipped_files[len(named) :]))
    assert named == [(photos / "bad.jpg", "empty file")]


def test_an_interrupt_in_a_commit_loses_nothing(run: Run, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.library.storing.COMMIT_IMAGES", 5)
    put, calls = store.put, []

    def interrupted(entries: object) -> None:
        calls.append(entries)
        if len(calls) == 1:
            raise KeyboardInterrupt
        put(entries)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert store.counts().indexed == 5


def test_a_full_disk_ends_the_run_and_keeps_what_was_committed(
    run: Run, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.storing.COMMIT_IMAGES", 5)
    put, calls = store.put, []

    def full(entries: object) -> None:
        calls.append(entries)
        if len(calls) > 1:
            raise LibraryFull("the disk is full")
        put(entries)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(LibraryFull):
        run()
    assert len(calls) == 2
    assert store.counts().indexed == 5
    monkeypatch.undo()
    assert summary(run()) == (12, 7, 5, 0, 0)


def test_a_run_is_recorded(run: Run, store: SqliteStore, photos: Path) -> None:
    (photos / "bad.jpg").touch()
    run()
    (record,) = store.runs()
    assert (record.found, record.indexed, record.unchanged, record.skipped, record.removed) == (13, 12, 0, 1, 0)


def test_indexing_an_empty_folder_stores_nothing(store: SqliteStore, counting: Counting, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert summary(index_images(store, counting, find_images(tmp_path / "empty"))) == (0, 0, 0, 0, 0)
