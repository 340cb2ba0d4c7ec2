"""Creating and opening libraries, and detecting changes of their recipes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fitted_files import save_whitening
from kindred.atlas import map_library
from kindred.describer import fit_whitening
from kindred.duplicates import find_duplicates
from kindred.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryNotFound,
    LibraryReplaced,
    MissingExtra,
    RecipeError,
    RecipeMismatch,
    UsageError,
)
from kindred.evaluation import evaluate
from kindred.exchange import export_vectors
from kindred.library import Library, search_many
from kindred.recipe import Recipe
from kindred.store import Filter, SqliteStore
from pictures import make_folder, save_picture
from tiny_model import make_model

COUNT = 8


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


@pytest.fixture
def other(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, name="other", size=96)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(__import__("sys").modules, module, None)


def test_a_recipe_that_lacks_a_package_leaves_nothing_behind(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = dataclasses.replace(recipe, features="sift")
    without(monkeypatch, "cv2")
    with pytest.raises(MissingExtra):
        Library.create(tmp_path / "library", recipe=verified)
    assert not (tmp_path / "library").exists()
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        assert library.index(photos).indexed == COUNT


def test_a_library_that_cannot_be_created_leaves_nothing_behind(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the small files that mark a library may still be written, and its store is not."""
    save_whitening(tmp_path / "own.npz", fit_whitening(recipe, sorted(photos.iterdir()), dimension=4), recipe)
    whitened = dataclasses.replace(recipe, whitening=str(tmp_path / "own.npz"))

    def full(file: Path, _: object) -> None:
        assert {each.name for each in file.parent.iterdir()} >= {"kindred.json", "fitted-0.npz", "index.lock"}
        raise LibraryFull(f"{file.parent}: the disk is full")

    monkeypatch.setattr("kindred.store.sqlite.store.create_database", full)
    with pytest.raises(LibraryFull):
        Library.create(tmp_path / "new" / "library", recipe=whitened)
    assert not (tmp_path / "new").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").touch()
    with pytest.raises(LibraryFull):
        Library.create(tmp_path / "own", recipe=whitened)
    assert [each.name for each in (tmp_path / "own").iterdir()] == ["notes.txt"]


def test_a_package_missing_later_is_reported_before_files_are_read(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = dataclasses.replace(recipe, features="sift")
    Library.create(tmp_path / "library", recipe=verified).close()
    without(monkeypatch, "cv2")
    with Library.open(tmp_path / "library") as library, pytest.raises(MissingExtra):
        library.index(photos)
    with Library.open(tmp_path / "library", recipe=recipe) as library:  # empty still, it takes another
        assert library.index(photos).indexed == COUNT


def test_an_empty_library_takes_any_recipe_and_another_does_not(
    tmp_path: Path, recipe: Recipe, other: Recipe, photos: Path
) -> None:
    (photos / "bad.jpg").write_bytes(b"no image")
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(photos)
        library.remove(library.store.paths_under(photos.parent))
        library.add(photos / "bad.jpg")
        assert library.info().skipped == 1
    with Library.open(tmp_path / "library", recipe=other) as library:
        assert (library.recipe.size, library.info().skipped, library.info().dimension) == (96, 0, None)
        assert library.index(photos).indexed == COUNT
    with Library.open(tmp_path / "library") as library:
        assert library.recipe.size == 96
        assert library.search(photos / "00001.jpg")[0].path == photos / "00001.jpg"
    with pytest.raises(RecipeMismatch, match="with recipe 'other', which differs from 'tiny': size 96, not 64;"):
        Library.open(tmp_path / "library", recipe=recipe)


def test_a_mismatch_of_parts_names_the_keys_that_differ(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    def joined(size: int) -> Recipe:
        return Recipe("both", ensemble=(recipe, dataclasses.replace(recipe, size=size)))

    with Library.create(tmp_path / "library", recipe=joined(96)) as library:
        library.index(photos)
    with pytest.raises(RecipeMismatch) as caught:
        Library.open(tmp_path / "library", recipe=joined(80))
    assert "differs from 'both': ensemble[1].size 96, not 80; leave out --recipe" in str(caught.value)
    with pytest.raises(RecipeMismatch) as caught:
        Library.open(tmp_path / "library", recipe=recipe)
    assert len(str(caught.value)) < 700


def test_a_library_created_again_with_the_same_recipe_is_reopened(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    folder = tmp_path / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
        library.search(photos / "00001.jpg", rerank="aqe")
        shutil.rmtree(folder)
        with pytest.raises(LibraryNotFound):
            library.search(photos / "00001.jpg")
        with Library.create(folder, recipe=recipe) as made:
            made.add(photos / "00002.jpg")
        assert [hit.path.name for hit in library.search(photos / "00001.jpg", k=50)] == ["00002.jpg"]
        assert library.add(photos / "00003.jpg").indexed == 1
        assert len(library) == 2
    with Library.open(folder) as again:
        assert len(again) == 2  # nothing went into the deleted file


def test_a_library_created_again_with_another_recipe_is_refused(
    tmp_path: Path, recipe: Recipe, other: Recipe, photos: Path
) -> None:
    folder = tmp_path / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
        shutil.rmtree(folder)
        Library.create(folder, recipe=other).close()
        with pytest.raises(LibraryReplaced, match="created again with recipe 'other' while in use"):
            library.search(photos / "00001.jpg")
        with pytest.raises(LibraryReplaced):
            library.add(photos / "00001.jpg")


def write_stored_recipe(folder: Path, text: str) -> None:
    """Replace the recipe of a library, as its sender can."""
    with SqliteStore.open(folder / "store.sqlite") as store:
        store.set_meta("recipe", text)


@pytest.mark.parametrize("key", ["codebook", "whitening", "code"])
@pytest.mark.parametrize(
    "name",
    [
        "/dev/zero",
        "fitted-/../../etc/passwd",
        "fitted-0/../x",
        "../x.npz",
        "..",
        "fitted-x",
        "fitted-0.npz/..",
        "beside.npz",
        "../models/kin",
    ],
)
def test_a_stored_recipe_that_names_a_file_outside_the_library_is_refused(
    tmp_path: Path, recipe: Recipe, name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.npz").write_bytes(b"private")
    Library.create(tmp_path / "library", recipe=recipe).close()
    hostile = dataclasses.replace(recipe, embedding="vlad") if key == "codebook" else recipe
    write_stored_recipe(tmp_path / "library", dataclasses.replace(hostile, **{key: name}).to_toml())  # type: ignore[arg-type]
    with pytest.raises(LibraryDamaged, match="which is not a fitted file of this library") as caught:
        Library.open(tmp_path / "library")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="makes links and FIFOs")
@pytest.mark.parametrize("kind", ["link", "device", "fifo", "folder"])
def test_a_fitted_file_of_a_library_is_a_regular_file_inside_it(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    folder = tmp_path / "library"
    Library.create(folder, recipe=recipe).close()
    write_stored_recipe(folder, dataclasses.replace(recipe, whitening="fitted-0.npz").to_toml())
    file, outside = folder / "fitted-0.npz", tmp_path / "outside.npz"
    outside.write_bytes(b"private")
    if kind in ("link", "device"):
        file.symlink_to(outside if kind == "link" else "/dev/zero")
        expected: tuple[type[Exception], str] = (LibraryDamaged, "which is a link to a file outside the library")
    elif kind == "fifo":
        os.mkfifo(file)
        expected = (RecipeError, "'.*fitted-0.npz' cannot be read .not a regular file.")
    else:
        file.mkdir()
        expected = (RecipeError, "'.*fitted-0.npz' cannot be read .it is a folder.")
    with pytest.raises(expected[0], match=expected[1]) as caught, Library.open(folder) as library:
        library.search(np.zeros((64, 64, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_a_stored_recipe_reads_no_other_recipe(tmp_path: Path, recipe: Recipe) -> None:
    Library.create(tmp_path / "library", recipe=recipe).close()
    (tmp_path / "other.toml").write_text("private = 1\n")
    write_stored_recipe(
        tmp_path / "library", f'name = "x"\nensemble = [{{recipe = "{(tmp_path / "other.toml").as_posix()}"}}]\n'
    )
    with pytest.raises(LibraryError, match="its ensemble refers to another recipe") as caught:
        Library.open(tmp_path / "library")
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("ensemble = " + "[{ensemble = " * 5_000, "nested too deeply"),
        ("name = ", "not valid TOML"),
        ("name = '\x1b]0;t\x07'", "not valid TOML"),
    ],
    ids=["deep", "deep ensemble", "cut off", "control characters"],
)
def test_a_stored_recipe_that_no_version_writes_is_damage(tmp_path: Path, recipe: Recipe, text: str, why: str) -> None:
    Library.create(tmp_path / "library", recipe=recipe).close()
    write_stored_recipe(tmp_path / "library", text)
    with pytest.raises(LibraryDamaged, match=f"meta 'recipe' is {why}.*; restore a backup, or ") as caught:
        Library.open(tmp_path / "library")
    assert len(str(caught.value)) < 700


def test_images_are_named_by_id_and_results_say_which(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(photos)
        hit = library.search(photos / "00001.jpg", k=1)[0]
        assert library.get(hit.id) == library.get(hit.path)
        assert (library.get(hit.id).path, library.get(hit.id).frames) == (photos / "00001.jpg", 1)
        assert library.tag(hit.id, ["sea", "sun"]) == 1
        assert library.set_metadata([hit.id, photos / "00002.jpg"], {"price": 20}) == 2
        found = library.search(photos / "00001.jpg", where=Filter(where="price=20"))  # type: ignore[arg-type]
        assert {hit.path.name for hit in found} == {"00001.jpg", "00002.jpg"}
        first = library.search(photos / "00001.jpg", k=1)[0]
        assert (first.id, first.tags, first.metadata, first.missing) == (hit.id, ("sea", "sun"), {"price": 20}, False)
        (photos / "00001.jpg").unlink()
        vector = np.ones(library.store.dimension or 0, np.float32)
        assert [each.missing for each in library.search(vector, k=COUNT) if each.id == hit.id] == [True]
        assert library.get(hit.id).missing
        assert library.remove(hit.id) == 1
        with pytest.raises(UsageError, match="is not an image of this library"):
            library.get(hit.id)


def test_a_file_without_the_right_to_be_read_is_tried_again(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kindred.errors import ImageError
    from kindred.images import decode

    def refusing(source: object, **options: object) -> object:
        if str(source).endswith("00003.jpg"):
            raise ImageError(str(source), "cannot be read: permission denied", final=False)
        return decode(source, **options)  # type: ignore[arg-type]

    with Library.create(tmp_path / "library", recipe=recipe) as library:
        with monkeypatch.context() as patch:
            patch.setattr("kindred.describer.network.decode", refusing)
            assert library.index(photos).skipped == [(photos / "00003.jpg", "cannot be read: permission denied")]
            assert library.index(photos).indexed == 0
        report = library.index(photos)
        assert (report.indexed, report.unchanged, report.skipped) == (1, COUNT - 1, [])


def test_a_new_version_tries_every_skipped_file_again(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "bad.jpg").write_bytes(b"no image")
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(photos)
        save_picture(tmp_path / "good.jpg", 3)
        facts = (photos / "bad.jpg").stat()
        monkeypatch.setattr("kindred.library.scanning.__version__", "99")
        tried: list[object] = []
        from kindred.images import decode

        def noted(source: object, **options: object) -> object:
            tried.append(source)
            return decode(source, **options)  # type: ignore[arg-type]

        monkeypatch.setattr("kindred.describer.network.decode", noted)
        library.index(photos)
        assert tried == [photos / "bad.jpg"]
        assert os.stat(photos / "bad.jpg").st_mtime_ns == facts.st_mtime_ns  # noqa: PTH116


def test_several_frames_are_noted(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    from PIL import Image

    shades = [Image.new("RGB", (64, 48), (9 * n, 40, 200 - 9 * n)) for n in range(3)]
    drawn = Image.open(photos / "00001.jpg").convert("RGB")
    shades[0].save(photos / "blank-first.tif", save_all=True, append_images=[drawn, shades[1]])
    drawn.save(photos / "drawn-first.tif", save_all=True, append_images=shades)
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        report = library.index(photos)
        assert report.notes == [
            (photos / "blank-first.tif", "frame or page 2 of 3"),
            (photos / "drawn-first.tif", "first of 4 frames or pages"),
        ]
        record = library.get(photos / "blank-first.tif")
        assert (record.frames, record.frame) == (3, 1)


def test_an_empty_library_takes_on_a_network_that_changed(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    """Nothing in it was described by the one before; a bundled network changes with a new version of Kindred."""
    own = dataclasses.replace(recipe, backbone=str(make_model(tmp_path / "models")))
    Library.create(tmp_path / "library", recipe=own).close()
    make_model(tmp_path / "models", seed=8)
    with Library.open(tmp_path / "library") as library:
        assert library.index(photos).indexed == COUNT
    with Library.open(tmp_path / "library") as library:
        assert library.index(photos).unchanged == COUNT
    make_model(tmp_path / "models")
    with Library.open(tmp_path / "library") as library, pytest.raises(RecipeMismatch, match="another network"):
        library.index(photos)


def test_a_new_library_writes_through_no_link(tmp_path: Path, recipe: Recipe, other: Recipe, photos: Path) -> None:
    """A folder of a stranger's may hold links of the names that a library gives its files."""
    victims = [tmp_path / "mark", tmp_path / "fitted"]
    for victim in victims:
        victim.write_text("precious", encoding="utf-8")
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "kindred.json").symlink_to(victims[0])
    (folder / "fitted-0.npz").symlink_to(victims[1])
    save_whitening(tmp_path / "own.npz", fit_whitening(recipe, sorted(photos.iterdir()), dimension=4), recipe)
    whitened = dataclasses.replace(recipe, whitening=str(tmp_path / "own.npz"))
    Library.create(folder, recipe=whitened).close()
    for file in ("store.sqlite", "fitted-0.npz"):
        (folder / file).unlink()
    Library.create(folder, recipe=other).close()  # an empty library, which takes any recipe
    (folder / "fitted-0.npz").symlink_to(victims[1])
    Library.open(folder, recipe=whitened).close()
    assert [victim.read_text(encoding="utf-8") for victim in victims] == ["precious", "precious"]
    assert not (folder / "kindred.json").is_symlink()


WRONG: dict[str, tuple[Callable[[Library, Path], object], str]] = {
    "open": (lambda _, __: Library.open(5), "a path is 5; expected text or a Path"),  # type: ignore[arg-type]
    "create": (lambda _, __: Library.create(None), "a path is None; expected text or a Path"),  # type: ignore[arg-type]
    "options": (lambda library, _: Library.open(library.path, options=5), "options is 5"),  # type: ignore[arg-type]
    "policy": (lambda library, _: Library.open(library.path, policy=5), "policy is 5"),  # type: ignore[arg-type]
    "move": (lambda library, _: library.move(5, 6), "a path is 5"),  # type: ignore[arg-type]
    "rerank": (lambda library, photo: library.search(photo, rerank=5), "rerank is 5; expected names"),  # type: ignore[arg-type]
    "re-ranker": (lambda library, photo: library.search(photo, rerank=[5]), "rerank names 5"),  # type: ignore[list-item]
    "options of a re-ranker": (
        lambda library, photo: library.search(photo, rerank=[("aqe", 5)]),  # type: ignore[list-item]
        r"rerank names \('aqe', 5\)",
    ),
    "exclude": (lambda library, photo: library.index(photo, exclude=5), "exclude is 5; expected patterns"),  # type: ignore[arg-type]
    "pattern": (lambda library, photo: library.index(photo, exclude=[5]), "exclude is 5"),  # type: ignore[list-item]
    "metadata": (lambda library, photo: library.set_metadata(photo, 5), "metadata is 5; expected keys and"),  # type: ignore[arg-type]
    "metadata file": (lambda library, _: library.import_metadata(5), "a path is 5"),  # type: ignore[arg-type]
    "several queries": (lambda library, _: list(library.search_each(5)), "images is 5"),  # type: ignore[arg-type]
    "libraries": (lambda library, photo: search_many(library, photo), "libraries is <Library"),  # type: ignore[arg-type]
    "no library": (lambda _, photo: search_many(["x"], photo), "a library is 'x'"),  # type: ignore[list-item]
    "duplicates": (lambda _, __: find_duplicates("x"), "library is 'x'; expected an open Library"),  # type: ignore[arg-type]
    "kinds": (lambda library, _: find_duplicates(library, kinds=5), "kinds is 5"),  # type: ignore[arg-type]
    "threshold": (lambda library, _: find_duplicates(library, threshold="x"), "threshold is 'x'"),  # type: ignore[arg-type]
    "map": (lambda _, __: map_library("x"), "library is 'x'"),  # type: ignore[arg-type]
    "export": (lambda _, photo: export_vectors("x", photo), "library is 'x'"),  # type: ignore[arg-type]
    "evaluate": (lambda _, __: evaluate(5, recipe="kin"), "groundtruth is 5"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_the_wrong_type_is_one_clear_error(recipe: Recipe, tmp_path: Path, name: str) -> None:
    call, message = WRONG[name]
    save_picture(tmp_path / "photo.png", 1)
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(tmp_path / "photo.png")
        with pytest.raises(UsageError, match=message):
            call(library, tmp_path / "photo.png")
