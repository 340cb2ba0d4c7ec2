"""What must not break a library: kills, full disks, rival writers, lost and foreign index files, bad images."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import LibraryFull, LibraryLocked
from kindred.index import SnapshotPolicy
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import SqliteStore
from pictures import encoded, make_folder, mutated, picture
from tiny_model import home, make_recipe

SOURCE = Path(__file__).resolve().parents[1] / "src"
POLICY = SnapshotPolicy(exact_below=20, changes=10, tail_share=0.0)
KILLS = 20
IMAGES = 200

# Commits often, and tells after each file how far it is, so that there are many moments to be killed in.
INDEXER = """
import sys
from kindred.library import storing
from kindred.index import SnapshotPolicy
from kindred.library import Library
storing.COMMIT_IMAGES = 3
library, photos = sys.argv[1:]
with Library.open(library, policy=SnapshotPolicy(exact_below=20, changes=10, tail_share=0.0)) as opened:
    opened.index(photos, progress=lambda here, total: print(here.indexed, flush=True))
print("done", flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder, 60)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: Path) -> Path:
    """A library of the photos with a search index in a file; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe, policy=POLICY) as library:
        library.index(photos)
    assert len(list(folder.glob("index-*"))) == 1
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    shutil.copytree(made, tmp_path / "library")
    return tmp_path / "library"


def ranking(library: Library, query: int, k: int = 1000) -> list[tuple[str, float]]:
    return [(hit.path.name, round(hit.score, 3)) for hit in library.search(picture(query), k=k)]


def same_ranking(one: list[tuple[str, float]], two: list[tuple[str, float]]) -> bool:
    """Whether two rankings agree; images whose scores differ by less than half precision may change places."""
    scores = dict(two)
    return len(one) == len(two) and all(abs(scores.get(name, -1.0) - score) <= 0.002 for name, score in one)


# Killed


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def kill_at_some_moment(library: Path, photos: Path, random: np.random.Generator) -> tuple[bool, int]:
    """Start indexing and kill it somewhere in its work; return whether it had ended, and how many it had told of."""
    with start(INDEXER, library, photos) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(random.integers(0, IMAGES // 4))]
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        told += process.stdout
    assert process.returncode in (0, -signal.SIGKILL), "it failed by itself"
    return "done\n" in told, max((int(line) for line in told if line.strip().isdigit()), default=0)


@pytest.mark.skipif(sys.platform == "win32", reason="kills as kill -9 does")
def test_twenty_kills_lose_no_committed_image_and_change_no_result(tmp_path: Path, recipe: Recipe) -> None:
    random, photos, folder = np.random.default_rng(5), tmp_path / "photos", tmp_path / "library"
    make_folder(photos, IMAGES)
    Library.create(folder, recipe=recipe).close()
    committed: set[Path] = set()
    kills = ends = 0
    while kills < KILLS:
        ended, told = kill_at_some_moment(folder, photos, random)
        kills += not ended
        if ended:
            ends += 1
            make_folder(photos, IMAGES, first=IMAGES * ends)  # more to do
        with Library.open(folder) as library:
            present = set(library.store.paths_under(photos))
            assert committed <= present
            assert len(present) - len(committed) >= told - 2  # it commits three at a time
            assert len(library) == len(present) == library.info().vectors
            if present:
                assert len(library.search(picture(1), k=len(present))) == len(present)
            committed = present
    assert len(committed) > IMAGES
    with Library.open(folder, policy=POLICY) as library:
        report = library.index(photos)
        assert report.unchanged == len(committed)
        assert report.indexed + report.unchanged == report.found == len(library)
        resumed = [ranking(library, query) for query in (1, 2, 500)]
        assert library.search_index.approximate
    with Library.create(tmp_path / "undisturbed", recipe=recipe, policy=POLICY) as library:
        library.index(photos)
        assert all(same_ranking(found, ranking(library, q)) for found, q in zip(resumed, (1, 2, 500), strict=True))


# A full disk


def test_a_full_database_is_told_and_what_was_committed_is_safe(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.storing.COMMIT_IMAGES", 10)
    # Vectors of 8,192 components, so that sixty images fill some pages.
    wide = dataclasses.replace(recipe, pooling="window_max", shape="stretch", pooling_options={"window": 1}, size=256)
    folder = tmp_path / "library"
    with Library.create(folder, recipe=wide) as library:
        assert isinstance(library.store, SqliteStore)
        connection = library.store._database._open_writer()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 60}")
        with pytest.raises(LibraryFull, match="the disk is full; committed changes are safe; free some space and run"):
            library.index(photos)
        kept = len(library)
        assert 0 < kept < 60
        assert len(library.search(picture(1), k=60)) == kept
    with Library.open(folder) as library:  # by a new connection, which knows no such limit
        report = library.index(photos)
        assert (report.unchanged, report.indexed) == (kept, 60 - kept)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of `size` at `folder`, or skip the test where this process may not."""
    folder.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("a small disk can be made on Linux only")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_what_was_committed_is_safe(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.storing.COMMIT_IMAGES", 10)
    wide = dataclasses.replace(recipe, pooling="window_max", shape="stretch", pooling_options={"window": 1}, size=256)
    with small_disk(tmp_path / "disk", "8m") as disk:
        filler = disk / "filler"
        with Library.create(disk / "library", recipe=wide) as library:
            filler.write_bytes(bytes(7_000_000))
            with pytest.raises(LibraryFull, match="the disk is full"):
                library.index(photos)
            kept = len(library)
            assert 0 < kept < 60
        with Library.open(disk / "library") as library:
            assert len(library) == kept
            assert len(library.search(picture(1), k=60)) == kept
            with pytest.raises(LibraryFull, match="the disk is full"):
                library.index(photos)
            filler.unlink()
            assert library.index(photos).found == len(library) == 60


def test_without_room_for_the_search_index_searches_use_memory(
    copy: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in copy.glob("index-*"):
        file.unlink()

    def full(_: object, file: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)

    with Library.open(copy, policy=POLICY) as library:
        expected = ranking(library, 7)
        monkeypatch.setattr("kindred.index.hnsw.HNSWIndex.save", full)
        assert library.index(photos).unchanged == 60
        assert same_ranking(ranking(library, 7), expected)
        assert not list(copy.glob("index-*"))
        monkeypatch.undo()
        library.index(photos)
        assert same_ranking(ranking(library, 7), expected)
        assert library.search_index.approximate
        assert len(list(copy.glob("index-*"))) == 1


# Two runs

WRITER = """
import sys
from kindred.library import Library
with Library.open(sys.argv[1]) as library, library.store.indexing():
    library.tag([], "none")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_runs_is_refused_at_once_and_all_else_goes_on(copy: Path, photos: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", WRITER, str(copy)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as writer,
        Library.open(copy) as second,
    ):
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == "writing\n"
        with pytest.raises(LibraryLocked, match=f"process {writer.pid} is indexing into this library"):
            second.index(photos)
        assert second.tag([photos / "00001.jpg"], "mine") == 1
        assert second.remove(photos / "00001.jpg") == 1
        assert second.add(photos / "00001.jpg").indexed == 1
        assert ranking(second, 1)
        writer.kill()  # its lock goes with it
        writer.wait()
        assert second.index(photos).unchanged == 60


# The file of the search index


@pytest.mark.parametrize("damage", ["deleted", "cut", "changed", "foreign", "empty"])
def test_a_lost_or_damaged_index_file_changes_no_result_and_is_made_again(
    made: Path, copy: Path, photos: Path, tmp_path: Path, recipe: Recipe, damage: str
) -> None:
    with Library.open(made, policy=POLICY) as library:
        expected = ranking(library, 7)
        assert library.search_index.approximate
    (file,) = copy.glob("index-*")
    whole = file.read_bytes()
    if damage == "deleted":
        file.unlink()
    elif damage == "foreign":
        file.write_bytes(foreign_index(tmp_path, recipe))
    else:
        middle = len(whole) // 2
        changed = whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 8]) + whole[middle + 8 :]
        file.write_bytes({"cut": whole[:middle], "changed": changed, "empty": b""}[damage])
    with Library.open(copy, policy=POLICY) as library:
        assert same_ranking(ranking(library, 7), expected)
        assert not library.search_index.approximate
    with Library.open(copy, policy=POLICY) as library:
        library.index(photos)
        assert same_ranking(ranking(library, 7), expected)
        assert library.search_index.approximate
    assert len(list(copy.glob("index-*"))) == 1


def foreign_index(tmp_path: Path, recipe: Recipe) -> bytes:
    """The index file of another library of as many images."""
    make_folder(tmp_path / "others", 60, first=1000)
    with Library.create(tmp_path / "other", recipe=recipe, policy=POLICY) as library:
        library.index(tmp_path / "others")
    (file,) = (tmp_path / "other").glob("index-*")
    return file.read_bytes()


def test_an_index_file_of_an_earlier_time_is_passed_over(copy: Path, tmp_path: Path) -> None:
    (file,) = copy.glob("index-*")
    old = file.read_bytes()
    new = make_folder(tmp_path / "more", 30, first=1000)
    with Library.open(copy, policy=POLICY) as library:
        library.index(tmp_path / "more")
    (file,) = copy.glob("index-*")
    file.write_bytes(old)
    with Library.open(copy, policy=POLICY) as library:
        assert library.search(new[3])[0].path == new[3]
        assert not library.search_index.approximate


# A folder that may not be written to

# Root may write everywhere, so it becomes nobody; but first it imports all that a search needs, for nobody may
# not be allowed to read this installation of Python.
SEARCHER = """
import os, sys
from kindred.errors import LibraryError
from kindred.library import Library
library, query, another = sys.argv[1:]
if os.getuid() == 0:
    with Library.open(another) as opened:
        opened.search(query)
        opened.remove([])
    os.setgid(65534); os.setuid(65534)
try:
    open(library + "/x", "w")
except OSError:
    print("read-only")
with Library.open(library) as opened:
    print(len(opened), opened.search(query)[0].path.name)
    try:
        opened.remove(query)
    except LibraryError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="takes rights away as on Unix")
@pytest.mark.parametrize("log", ["merged", "waiting"])
def test_search_works_in_a_folder_that_cannot_be_written_to(copy: Path, photos: Path, recipe: Recipe, log: str) -> None:
    if log == "waiting":  # a search leaves an empty log beside the database
        with Library.open(copy) as library:
            ranking(library, 1)
    another = shutil.copytree(copy, copy.with_name("another"))
    open_to_all(copy.parent)
    open_to_all(photos)
    open_to_all(Path(recipe.backbone).parent)
    copy.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SEARCHER, str(copy), str(photos / "00005.jpg"), str(another)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
    finally:
        copy.chmod(0o755)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["read-only", "60 00005.jpg"], done.stderr
    assert "is read-only" in lines[2]


def open_to_all(folder: Path) -> None:
    """Let every user read `folder`, and pass through the temporary folders above it."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in (folder, *folder.parents):
        if path.owner() == Path.home().owner() and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o055)


# Bad images


def test_each_of_500_mutated_images_is_indexed_or_reported(tmp_path: Path, recipe: Recipe) -> None:
    random, folder = np.random.default_rng(11), tmp_path / "mutated"
    folder.mkdir()
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF"}
    sound = {ending: encoded(number, kind, width=96, height=72) for number, (ending, kind) in enumerate(kinds.items())}
    endings = list(kinds)
    for number in range(500):
        ending, other = endings[number % 6], endings[random.integers(6)]
        (folder / f"{number:03}.{ending}").write_bytes(mutated(sound[ending], sound[other], random))
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        report = library.index(folder)
        assert report.found == 500 == report.indexed + len(report.skipped)
        assert len({path for path, _ in report.skipped}) == len(report.skipped) > 100
        assert all(reason and "\n" not in reason and len(reason) < 80 for _, reason in report.skipped)
        assert library.skipped() == report.skipped
        assert len(library) == report.indexed > 20
        again = library.index(folder)
        assert (again.indexed, again.unchanged, again.skipped) == (0, report.indexed, report.skipped)
