"""Vectors out of a library and into another, in every format."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.describer import Describer
from kindred.errors import RecipeMismatch, UsageError
from kindred.exchange import FORMATS, export_vectors, import_vectors
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Filter
from pictures import make_folder
from tiny_model import home, make_recipe

COUNT = 7


@pytest.fixture(scope="module", autouse=True)
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: Path) -> Path:
    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
    return folder


def vectors_of(library: Library) -> dict[str, np.ndarray]:
    ids, rows = next(library.store.vectors())
    images = library.store.rows(ids.tolist())
    return {images[number].path.name: row for number, row in zip(ids.tolist(), rows, strict=True)}


@pytest.mark.parametrize("ending", FORMATS)
def test_an_export_is_imported_unchanged(made: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"vectors{ending}"
    with Library.open(made) as library:
        expected = vectors_of(library)
        assert export_vectors(library, file) == COUNT
        dimension = library.store.dimension
    report = import_vectors(tmp_path / "copy", file)
    assert (report.images, report.vectors, report.without_file) == (COUNT, COUNT, 0)
    with Library.open(tmp_path / "copy") as copy:
        assert copy.store.dimension == dimension
        found = vectors_of(copy)
        assert found.keys() == expected.keys()
        for name, row in expected.items():
            np.testing.assert_allclose(found[name], row, atol=1e-6)
        assert copy.info().last_run is not None
        hits = copy.search(next(iter(expected.values())), k=1)
        assert hits[0].path.name == next(iter(expected))


def test_a_library_from_an_export_can_describe_images(made: Path, photos: Path, tmp_path: Path) -> None:
    with Library.open(made) as library:
        export_vectors(library, tmp_path / "a.npz")
        name, image = library.recipe.name, sorted(photos.rglob("*.jpg"))[0]
    import_vectors(tmp_path / "copy", tmp_path / "a.npz")
    with Library.open(tmp_path / "copy") as copy:
        assert copy.recipe.name == name
        assert copy.search(image, k=1)[0].path == image


def test_regions_retain_their_boxes(recipe: Recipe, photos: Path, tmp_path: Path) -> None:
    rows = dataclasses.replace(recipe, passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    with Library.create(tmp_path / "regions", recipe=rows) as library:
        library.index(photos)
        count = export_vectors(library, tmp_path / "regions.npz")
        assert count == library.info().vectors > COUNT
    arrays = np.load(tmp_path / "regions.npz")
    assert arrays["vectors"].shape[0] == arrays["boxes"].shape[0] == count
    assert np.isnan(arrays["boxes"]).all(axis=1).sum() == COUNT
    report = import_vectors(tmp_path / "copy", tmp_path / "regions.npz")
    assert (report.images, report.vectors) == (COUNT, count)


def test_a_filter_chooses_what_is_exported(made: Path, photos: Path, tmp_path: Path) -> None:
    with Library.open(made) as library:
        some = sorted(photos.rglob("*.jpg"))[:2]
        library.tag(some, "chosen")
        assert export_vectors(library, tmp_path / "two.csv", where=Filter(tags=("chosen",))) == 2
        (tmp_path / "link").symlink_to(photos)
        assert export_vectors(library, tmp_path / "all.csv", where=Filter(folder=tmp_path / "link")) == COUNT
    lines = (tmp_path / "two.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("id,path,x0,y0,x1,y1,word,v0,v1,")
    assert {Path(line.split(",")[1]) for line in lines[1:]} == set(some)


def test_vectors_of_other_programs_are_searched_by_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8))
    np.savez(tmp_path / "foreign.npz", vectors=vectors, paths=np.array([f"img/{at}.jpg" for at in range(5)]))
    report = import_vectors(tmp_path / "library", tmp_path / "foreign.npz")
    assert (report.images, report.without_file) == (5, 5)
    with Library.open(tmp_path / "library") as library:
        hits = library.search(vectors[3].astype(np.float32), k=2)
        assert hits[0].path == tmp_path / "img" / "3.jpg"
        assert hits[0].score == pytest.approx(1, abs=1e-6)
        with pytest.raises(UsageError, match="its vectors were imported"):
            library.search(np.zeros((9, 9, 3), np.uint8))
        with pytest.raises(UsageError, match="its vectors were imported"):
            library.describe(np.zeros((9, 9, 3), np.uint8))
    np.savez(tmp_path / "more.npz", vectors=vectors[:1] + 1, paths=np.array(["img/0.jpg"]))
    import_vectors(tmp_path / "library", tmp_path / "more.npz")
    with Library.open(tmp_path / "library") as library:
        assert len(library) == 5, "an image that is known gets the new vectors in place of its own"


def test_a_table_with_semicolons_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path;v0;v1\nx.jpg;3;4\ny.jpg;0;1\n", encoding="utf-8")
    assert import_vectors(tmp_path / "library", tmp_path / "a.csv").images == 2
    with Library.open(tmp_path / "library") as library:
        np.testing.assert_allclose(vectors_of(library)["x.jpg"], [0.6, 0.8], atol=1e-6)


def test_an_import_into_a_library_with_another_recipe_is_refused(made: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", vectors=np.eye(3), paths=np.array(["a", "b", "c"]))
    with pytest.raises(RecipeMismatch, match=r"contains vectors of 3 components; import into another library"):
        import_vectors(made, tmp_path / "foreign.npz")


def test_a_mismatch_of_vectors_says_what_differs(made: Path, recipe: Recipe, photos: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(recipe, size=96)
    with Library.create(tmp_path / "other", recipe=other) as library:
        library.index(photos)
        export_vectors(library, tmp_path / "other.npz")
    with pytest.raises(
        RecipeMismatch, match="contains vectors that were made with other settings; import into another"
    ):
        import_vectors(made, tmp_path / "other.npz")
    dimension = Describer(recipe).dimension
    np.savez(tmp_path / "foreign.npz", vectors=np.eye(dimension), paths=np.arange(dimension).astype(str))
    with pytest.raises(RecipeMismatch, match="contains vectors of another program; import into another"):
        import_vectors(made, tmp_path / "foreign.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"paths": np.array(["a"])}, "'vectors' is missing"),
        ({"vectors": np.eye(2), "paths": np.array(["a"])}, "beside 2 vectors"),
        ({"vectors": np.zeros((1, 2)), "paths": np.array(["a"])}, "a: a vector is zero"),
        ({"vectors": np.full((1, 2), np.nan), "paths": np.array(["a"])}, "a: a vector is zero, NaN"),
        ({"vectors": np.array([["x"]]), "paths": np.array(["a"])}, "vectors have shape"),
        ({"vectors": np.eye(1), "paths": np.array([""])}, "no path"),
        ({"vectors": np.empty((0, 4)), "paths": np.array([], np.str_)}, "contains no vectors"),
    ],
)
def test_an_invalid_file_of_vectors_is_one_line(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option
    with pytest.raises(UsageError, match=message) as caught:
        import_vectors(tmp_path / "library", tmp_path / "bad.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", FORMATS)
def test_hostile_files_are_refused(tmp_path: Path, ending: str) -> None:
    fifo, noise = tmp_path / f"fifo{ending}", tmp_path / f"noise{ending}"
    os.mkfifo(fifo)
    noise.write_bytes(os.urandom(2000))
    for file in (fifo, noise, tmp_path / f"missing{ending}"):
        with pytest.raises(UsageError):
            import_vectors(tmp_path / "library", file)
    assert not (tmp_path / "library").exists()


def test_pickles_in_an_npz_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", vectors=np.array([{"a": 1}], dtype=object), paths=np.array(["a"]))
    with pytest.raises(UsageError, match="objects"):
        import_vectors(tmp_path / "library", tmp_path / "bad.npz")


def test_another_extension_is_refused(made: Path, tmp_path: Path) -> None:
    with Library.open(made) as library, pytest.raises(UsageError, match=r"ends in \.npz, \.csv, \.parquet"):
        export_vectors(library, tmp_path / "vectors.txt")


def test_an_import_only_replaces_the_vectors_of_a_known_image(photos: Path, tmp_path: Path, recipe: Recipe) -> None:
    pytest.importorskip("cv2")
    with Library.create(tmp_path / "library", recipe=dataclasses.replace(recipe, features="sift")) as library:
        library.index(photos)
        export_vectors(library, tmp_path / "own.npz")
        before = {
            row.path: row for row in library.store.images(library.store.select_images(Filter()).tolist()).values()
        }
        features = {path: library.store.features(row.image_id) for path, row in before.items()}
        assert any(features.values())
    report = import_vectors(tmp_path / "library", tmp_path / "own.npz")
    assert report.without_features == 0
    with Library.open(tmp_path / "library") as library:
        after = {row.path: row for row in library.store.images(library.store.select_images(Filter()).tolist()).values()}
        assert {path: (row.uid, row.width, row.height) for path, row in after.items()} == {
            path: (row.uid, row.width, row.height) for path, row in before.items()
        }
        assert {path: library.store.features(row.image_id) for path, row in after.items()} == features
        assert library.index(photos).unchanged == COUNT
    report = import_vectors(tmp_path / "other", tmp_path / "own.npz")
    assert report.without_features == COUNT, "a file of vectors holds no local features, and the report says so"
