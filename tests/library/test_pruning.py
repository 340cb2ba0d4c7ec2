"""What `prune` removes, and what it does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.library import Library
from kindred.library.indexing import IndexReport
from kindred.library.pruning import PRUNE_COUNT, Prune
from kindred.recipe import Recipe
from kindred.store import Root
from pictures import make_folder

COUNT = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos, ten of them in a folder below."""
    folder = tmp_path_factory.mktemp("made")
    make_folder(folder / "photos", COUNT - 10)
    make_folder(folder / "photos" / "sub", 10, first=100)
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "photos", tmp_path / "photos"))


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, photos: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", recipe=recipe) as opened:
        opened.index(photos)
        yield opened


def numbers(report: IndexReport) -> tuple[int, int, bool]:
    return report.missing, report.removed, bool(report.held)


def remove(photos: Path, count: int) -> None:
    for file in sorted(photos.rglob("*.jpg"))[:count]:
        file.unlink()


def test_a_few_missing_files_are_removed_by_prune(library: Library, photos: Path) -> None:
    elsewhere = make_folder(photos.parent / "photos-other", 2, first=50)
    library.index(elsewhere[0].parent)
    elsewhere[0].unlink()
    remove(photos, 3)
    assert numbers(library.index(photos)) == (3, 0, False)
    assert len(library) == COUNT + 2
    assert numbers(library.index(photos, prune="gone")) == (3, 3, False)
    assert len(library) == COUNT - 1  # that of the other folder is not below this one
    assert library.store.runs(1)[0].removed == 3


@pytest.mark.parametrize("prune", ["gone", "all"])
def test_skipped_files_that_are_gone_are_no_missing_images(library: Library, photos: Path, prune: Prune) -> None:
    for number in range(3):
        (photos / f"broken-{number}.jpg").write_bytes(b"no image")
    assert len(library.index(photos).skipped) == 3
    for file in photos.glob("broken-*.jpg"):
        file.unlink()
    remove(photos, 1)
    assert numbers(library.index(photos)) == (1, 0, False)
    report = library.index(photos, prune=prune)
    assert numbers(report) == (1, 1, False)
    assert (len(library), library.skipped()) == (COUNT - 1, [])


def test_an_empty_folder_removes_nothing_without_prune_all(library: Library, photos: Path) -> None:
    library.tag(photos / "00001.jpg", "dear")
    shutil.rmtree(photos)
    photos.mkdir()
    report = library.index(photos, prune="gone")
    assert numbers(report) == (COUNT, 0, True)
    assert report.held == [f"{photos} is empty, as if its disk were not mounted"]
    assert (len(library), library.info().tags) == (COUNT, {"dear": 1})
    assert numbers(library.index(photos, prune="all")) == (COUNT, COUNT, False)
    assert len(library) == 0


def test_a_folder_without_any_of_its_images_removes_nothing(library: Library, photos: Path) -> None:
    remove(photos, COUNT)
    (photos / "README").write_text("mount the disk here")
    report = library.index(photos, prune="gone")
    assert numbers(report) == (COUNT, 0, True)
    assert report.held == [f"{photos} contains no image any more"]


def test_many_missing_files_are_not_removed(library: Library, photos: Path) -> None:
    remove(photos, PRUNE_COUNT)
    assert numbers(library.index(photos, prune="gone")) == (PRUNE_COUNT, PRUNE_COUNT, False)
    make_folder(photos / "more", 30, first=200)
    library.index(photos)
    shutil.rmtree(photos / "more")
    report = library.index(photos, prune="gone")
    assert numbers(report) == (30, 0, True)
    assert report.held == [f"30 of the 50 images of {photos} are gone"]
    assert len(library) == 50


def test_another_device_than_at_the_last_run_removes_nothing(library: Library, photos: Path) -> None:
    (before,) = library.store.roots()
    assert (before.path, before.device, before.images) == (photos, photos.stat().st_dev, COUNT)
    library.store.set_root(Root(photos, before.device + 1, COUNT, before.seen))
    remove(photos, 3)
    report = library.index(photos, prune="gone")
    assert numbers(report) == (3, 0, True)
    assert report.held == [f"{photos} is on another device than at its last run"]


def test_a_folder_below_that_is_not_mounted_keeps_its_images_and_the_rest_is_pruned(
    library: Library, photos: Path
) -> None:
    database = library.store._database  # type: ignore[attr-defined]
    with database.write() as connection:  # as if it had been a mount of its own
        connection.execute("UPDATE images SET volume = volume + 1 WHERE instr(CAST(path AS TEXT), '/sub/')")
    shutil.rmtree(photos / "sub")
    (photos / "sub").mkdir()
    (photos / "00001.jpg").unlink()
    report = library.index(photos, prune="gone")
    assert numbers(report) == (11, 1, True)
    assert report.held == ["their disk is not mounted"]
    assert len(library) == COUNT - 1


def test_files_without_access_do_not_count_as_gone(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("kindred.library.paths.os.lstat", refused)
        assert numbers(library.index(photos, prune="all")) == (0, 0, False)
    assert len(library) == COUNT


def test_nested_and_repeated_folders_count_what_is_missing_once_each(library: Library, photos: Path) -> None:
    (photos / "sub" / "00100.jpg").unlink()
    report = library.index([photos, photos / "sub"], prune="gone")
    assert (report.missing, report.removed) == (1, 1)
