from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitted_files import save_whitening
from kindred.describer import fit_whitening
from kindred.errors import (
    ImageError,
    KindredError,
    LibraryDamaged,
    LibraryError,
    LibraryLocked,
    LibraryNotFound,
    LibraryTooNew,
    ModelError,
    RecipeError,
    RecipeMismatch,
    UsageError,
)
from kindred.index import SnapshotPolicy
from kindred.library import Library, Results
from kindred.library.indexing import IndexProgress
from kindred.recipe import Recipe
from kindred.store import FORMAT, Filter
from pictures import make_folder, picture, save_picture
from tiny_model import CHANNELS, make_model, make_recipe

pytestmark = pytest.mark.usefixtures("recipe")  # its home, also where no recipe is asked for
COUNT = 30


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures, ten of them each in the folders "a", "b" and "b/deep"; not to be changed."""
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("a", "b", "b/deep")):
        make_folder(folder / name, COUNT // 3, first=COUNT // 3 * number)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: Path) -> Path:
    """A library of the photos; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
    return folder


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of that library, open."""
    shutil.copytree(made, tmp_path / "library")
    with Library.open(tmp_path / "library") as opened:
        yield opened


def names(results: Sequence[object]) -> list[str]:
    return [hit.path.name for hit in results]  # type: ignore[attr-defined]


# Make and open


def test_a_library_is_created_indexed_and_searched(made: Path, photos: Path) -> None:
    with Library.open(made) as library:
        assert len(library) == COUNT
        for path in (photos / "a/00003.jpg", photos / "b/deep/00025.jpg"):
            results = library.search(path, k=5)
            assert (results[0].path, results[0].rank) == (path, 1)
            assert results[0].score == pytest.approx(1, abs=0.001)
            assert results[0].box is None
            assert {results[0].width, results[0].height} == {48, 64}


def test_results_are_a_sequence_of_hits_and_arrays(made: Path) -> None:
    with Library.open(made) as library:
        results = library.search(picture(5), k=4)
    assert isinstance(results, Results)
    assert len(results) == 4 == len(list(results))
    assert [hit.rank for hit in results] == [1, 2, 3, 4]
    assert [hit.score for hit in results] == results.scores.tolist()
    assert (np.diff(results.scores) <= 0).all()
    assert (str(results.ids.dtype), str(results.scores.dtype)) == ("int64", "float32")
    assert list(results[1:3]) == [results[1], results[2]]
    assert 0 < results.seconds < 600


def test_the_ranking_is_that_of_all_dot_products(made: Path, photos: Path) -> None:
    with Library.open(made) as library:
        paths = sorted(photos.rglob("*.jpg"))
        query = library.describe(picture(99))[0]
        scores = library.describe(paths) @ query
        results = library.search(query, k=COUNT)
    assert np.abs(np.sort(scores)[::-1] - results.scores).max() < 0.01
    expected = dict(zip(paths, scores, strict=True))
    assert all(abs(expected[hit.path] - hit.score) < 0.01 for hit in results)


def test_a_library_describes_itself(made: Path, recipe: Recipe) -> None:
    with Library.open(made) as library:
        info = library.info()
        assert (info.images, info.vectors, info.skipped, info.dimension) == (COUNT, COUNT, 0, CHANNELS)
        assert info.recipe == library.recipe == recipe
        assert info.last_run is not None
        assert info.bytes > COUNT * CHANNELS * 4
        assert repr(library) == f"<Library {str(made)!r}, recipe 'tiny'>"
    mark = json.loads((made / "kindred.json").read_text())
    assert mark["store"] == "store.sqlite"


def test_a_second_library_in_one_place_is_refused(made: Path, recipe: Recipe) -> None:
    with pytest.raises(LibraryError, match="already contains a library; open it"):
        Library.create(made, recipe=recipe)


def test_a_library_that_cannot_be_created_leaves_no_files(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(RecipeError):
        Library.create(tmp_path / "new", recipe=dataclasses.replace(recipe, similarity="none"))
    with pytest.raises(ModelError):
        Library.create(tmp_path / "new", recipe=dataclasses.replace(recipe, backbone=str(tmp_path / "no.onnx")))
    with pytest.raises(RecipeError, match="unknown recipe"):
        Library.create(tmp_path / "new", recipe="no-such")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(LibraryError, match="cannot be written to"):
        Library.create(tmp_path / "file", recipe=recipe)


def test_a_missing_library_is_an_error_with_advice(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing" / "there"):
        with pytest.raises(LibraryNotFound, match="no library found; create one with kindred index"):
            Library.open(path)


def test_a_moved_library_still_opens(library: Library, tmp_path: Path, photos: Path) -> None:
    library.close()
    shutil.move(tmp_path / "library", tmp_path / "moved")
    with Library.open(tmp_path / "moved") as moved:
        assert moved.search(photos / "a/00003.jpg")[0].path.name == "00003.jpg"


def test_a_closed_library_raises_an_error(library: Library) -> None:
    library.close()
    library.close()
    with pytest.raises(UsageError, match="closed"):
        len(library)


def test_stored_paths_are_absolute(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "x/photos", 2)
    (tmp_path / "x/work").mkdir()
    monkeypatch.chdir(tmp_path / "x/work")
    monkeypatch.setenv("HOME", str(tmp_path / "x"))
    with Library.create("../library", recipe=recipe) as library:
        assert library.path == tmp_path / "x/library"
        assert library.index("../photos").indexed == 2
        assert library.index("~/photos").unchanged == 2
        assert library.search(picture(0))[0].path == tmp_path / "x/photos/00000.jpg"
        assert library.tag(["../photos/00000.jpg"], "one") == 1
        inside = Filter(folder=Path("../photos"))
        assert len(library.search(picture(0), where=inside)) == 2
        assert library.remove("../photos/00000.jpg") == 1


def test_a_library_among_the_photos_is_not_indexed(tmp_path: Path, recipe: Recipe) -> None:
    make_folder(tmp_path / "photos", 2)
    with Library.create(tmp_path / "photos/.kindred", recipe=recipe) as library:
        save_picture(library.path / "stray.jpg", 9)
        assert library.index(tmp_path / "photos").found == 2


# Change


def test_images_are_added_removed_and_tagged_one_by_one(library: Library, tmp_path: Path) -> None:
    one, two = make_folder(tmp_path / "more", 2, first=100)
    assert library.add(one, tags=("new", "best")).indexed == 1
    assert library.add([one, str(two), two]).unchanged == 1
    assert len(library) == COUNT + 2
    hit = library.search(one)[0]
    assert (hit.path, hit.tags) == (one, ("best", "new"))
    assert library.tag([two, tmp_path / "no.jpg"], "new") == 1
    assert library.info().tags == {"best": 1, "new": 2}
    assert library.untag([one], "new") == 1
    assert library.search(one)[0].tags == ("best",)
    assert library.remove([one, tmp_path / "no.jpg"]) == 1
    assert one.exists()
    assert library.search(one)[0].path != one
    assert len(library) == COUNT + 1


def test_a_tag_is_renamed_joined_and_removed_everywhere(library: Library, photos: Path) -> None:
    paths = sorted(photos.rglob("*.jpg"))
    library.tag(paths[:3], "sea")
    library.tag(paths[2:5], "beach")
    assert library.rename_tag("sea", "coast") == 3
    assert library.info().tags == {"beach": 3, "coast": 3}
    assert library.rename_tag("coast", "beach") == 3
    assert library.info().tags == {"beach": 5}
    assert library.rename_tag("beach", "beach") == 5
    with pytest.raises(UsageError, match="not only spaces"):
        library.rename_tag("beach", " ")
    assert library.info().tags == {"beach": 5}
    assert (library.rename_tag("beach", None), library.rename_tag("beach", None)) == (5, 0)
    assert library.info().tags == {}


def test_a_changed_image_is_described_again(library: Library, tmp_path: Path) -> None:
    (path,) = make_folder(tmp_path / "more", 1, first=100)
    library.add(path)
    save_picture(path, 101)
    os.utime(path, ns=(0, 0))
    assert library.add(path).indexed == 1
    assert library.search(picture(101, width=64, height=48))[0].path == path


def test_files_that_cannot_be_added_are_in_the_report(library: Library, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    report = library.add([tmp_path / "empty.jpg", tmp_path / "gone.jpg"])
    assert report.skipped == [(tmp_path / "empty.jpg", "empty file"), (tmp_path / "gone.jpg", "file vanished")]
    assert library.skipped() == [(tmp_path / "empty.jpg", "empty file")]
    assert library.info().skipped == 1


def test_index_with_prune_and_progress(library: Library, tmp_path: Path, photos: Path) -> None:
    first, *_ = make_folder(tmp_path / "more", 5, first=100)
    told: list[tuple[IndexProgress, int]] = []
    report = library.index(tmp_path / "more", progress=lambda here, total: told.append((here, total)))
    assert (report.indexed, told[-1][0].seen, told[-1][1]) == (5, 5, 5)
    first.unlink()
    assert library.index(tmp_path / "more").removed == 0
    assert library.index(tmp_path / "more", prune="gone").removed == 1
    assert len(library) == COUNT + 4
    assert library.index(photos, prune="gone").removed == 0
    with pytest.raises(UsageError, match="prune is 'yes'; expected 'keep', 'gone' or 'all'"):
        library.index(photos, prune="yes")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no such file or folder"):
        library.index(tmp_path / "nowhere")


def test_an_index_run_can_be_stopped_while_it_counts_and_while_it_describes(library: Library, tmp_path: Path) -> None:
    make_folder(tmp_path / "more", 60, first=100)
    counting = library.index(tmp_path / "more", progress=lambda *_: None, stop=lambda: True)
    assert (counting.stopped, counting.indexed, len(library)) == (True, 0, COUNT)
    seen: list[int] = []
    report = library.index(
        tmp_path / "more", progress=lambda here, _: seen.append(here.indexed), stop=lambda: bool(seen and seen[-1])
    )
    assert report.stopped
    assert 1 <= report.indexed < 60
    assert len(library) == COUNT + report.indexed
    assert library.index(tmp_path / "more").indexed == 60 - report.indexed


def test_an_empty_library_is_an_error_with_advice(tmp_path: Path, recipe: Recipe) -> None:
    with Library.create(tmp_path / "new", recipe=recipe) as library:
        with pytest.raises(LibraryError, match="the library is empty; index a folder first"):
            library.search(picture(1))
        assert (len(library), library.info().dimension) == (0, None)


# Search


def test_filters_hold_inside_the_search(library: Library, photos: Path) -> None:
    library.tag(sorted(photos.rglob("*.jpg"))[::2], "even")
    inside = library.search(picture(3), k=COUNT, where=Filter(folder=photos / "b"))
    assert len(inside) == 20
    assert all(hit.path.is_relative_to(photos / "b") for hit in inside)
    both = library.search(picture(3), k=COUNT, where=Filter(folder=photos / "b/deep", tags=("even",)))
    assert len(both) == 5
    everything = [hit for hit in library.search(picture(3), k=COUNT) if hit.path in {one.path for one in both}]
    assert [hit.path for hit in both] == [hit.path for hit in everything]
    assert len(library.search(picture(3), where=Filter(tags=("none",)))) == 0


def test_filters_by_date(library: Library, tmp_path: Path) -> None:
    paths = []
    for year in (2001, 2002, 2003):
        exif = Image.Exif()
        exif[0x0132] = f"{year}:07:05 10:20:30"
        paths.append(tmp_path / f"{year}.jpg")
        Image.fromarray(picture(year)).save(paths[-1], exif=exif)
    library.add(paths)
    found = library.search(picture(1), k=50, where=Filter(after=date(2001, 7, 6), before=date(2003, 7, 4)))
    assert names(found) == ["2002.jpg"]
    assert found[0].taken == "2002-07-05T10:20:30"
    borders = Filter(after=date(2001, 7, 5), before=date(2003, 7, 5))
    assert set(names(library.search(picture(1), k=50, where=borders))) == {"2001.jpg", "2002.jpg", "2003.jpg"}


def test_a_box_searches_for_a_part_of_the_query(library: Library, tmp_path: Path) -> None:
    part = picture(200, width=64, height=64)
    scene = picture(201, width=300, height=200)
    scene[100:164, 200:264] = part
    Image.fromarray(part).save(tmp_path / "part.png")
    Image.fromarray(scene).save(tmp_path / "scene.png")
    library.add(tmp_path / "part.png")
    box = (200.0, 100.0, 264.0, 164.0)
    found = library.search(tmp_path / "scene.png", box=box)
    assert names(found)[0] == "part.png"
    assert found[0].score == pytest.approx(1, abs=0.001)
    assert library.search(scene)[0].score < 0.999
    with pytest.raises(UsageError, match="box"):
        library.search(scene, box=(400, 0, 500, 100))
    with pytest.raises(UsageError, match="a box needs a single query image, 2 were given"):
        library.search([scene, scene], box=box)


def test_several_queries_are_searched_by_their_mean(made: Path, photos: Path) -> None:
    pair = [photos / "a/00003.jpg", photos / "b/00014.jpg"]
    with Library.open(made) as library:
        rows = library.describe(pair)
        results = library.search(pair, k=COUNT)
        mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0))
        assert np.abs(results.scores - library.search(mean, k=COUNT).scores).max() < 1e-5
        assert names(results) == names(library.search(rows, k=COUNT))
        assert names(results) == names(library.search([str(path) for path in reversed(pair)], k=COUNT))


def test_a_vector_needs_no_network(made: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library.open(made) as library:
        row = library.describe(photos / "a/00003.jpg")[0]
    monkeypatch.setattr("kindred.library.library.Describer", None)
    with Library.open(made) as library:
        assert library.search(7 * row.astype(np.float64))[0].path.name == "00003.jpg"
        with pytest.raises(UsageError, match=r"expected \(Q, 32\)"):
            library.search(row[:5])
        with pytest.raises(UsageError, match="holds NaN or infinity"):
            library.search(np.full(CHANNELS, np.nan, np.float32))
        with pytest.raises(UsageError, match="a box needs a query image"):
            library.search(row, box=(0, 0, 10, 10))


def test_invalid_queries_are_errors(made: Path, tmp_path: Path) -> None:
    with Library.open(made) as library:
        with pytest.raises(UsageError, match="the query is empty"):
            library.search([])
        with pytest.raises(UsageError, match="k: got 0"):
            library.search(picture(1), k=0)
        with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
            library.search(tmp_path / "gone.jpg")
        with pytest.raises(ImageError, match="not an image"):
            library.search(b"no image at all, not even the start of one")


def test_more_results_than_images_are_all_of_them(made: Path) -> None:
    with Library.open(made) as library:
        assert len(library.search(picture(1), k=1000)) == COUNT


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "l1", "chi_square"])
def test_every_similarity_finds_the_image_itself(tmp_path: Path, recipe: Recipe, photos: Path, similarity: str) -> None:
    chosen = dataclasses.replace(recipe, similarity=similarity)
    with Library.create(tmp_path / "library", recipe=chosen) as library:
        library.index(photos / "a")
        results = library.search(photos / "a/00003.jpg")
        assert results[0].path.name == "00003.jpg"
        assert results[0].score == pytest.approx(1.0 if similarity == "dot" else 0.0, abs=0.01)


# Recipe


def test_the_same_recipe_under_another_name_opens(made: Path, recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "same.toml"
    file.write_text(dataclasses.replace(recipe, name="same", description="but renamed").to_toml())
    for same in (recipe, file, str(file)):
        Library.open(made, recipe=same).close()


def test_another_recipe_is_refused_with_the_differences(made: Path, recipe: Recipe) -> None:
    other = dataclasses.replace(recipe, name="other", size=96, pooling="max")
    with pytest.raises(RecipeMismatch) as caught:
        Library.open(made, recipe=other)
    message = str(caught.value)
    assert "was made with recipe 'tiny', which differs from 'other'" in message
    assert "size 64, not 96; pooling 'gem', not 'max'; leave out --recipe, or index into another library" in message


def test_a_changed_model_is_refused_when_it_matters(tmp_path: Path, photos: Path) -> None:
    path = make_model(tmp_path / "models")
    kept = dataclasses.replace(make_recipe(tmp_path / "models"), backbone=str(path))
    with Library.create(tmp_path / "library", recipe=kept) as library:
        library.index(photos / "a")
        row = library.describe(picture(1))[0]
    make_model(tmp_path / "models", seed=8)
    with Library.open(tmp_path / "library") as library:
        assert len(library) == 10
        assert len(library.search(row)) == 10
        changes = (
            lambda: library.search(picture(1)),
            lambda: library.add(photos / "b/00010.jpg"),
            lambda: library.index(photos / "a"),  # with nothing new
        )
        for change in changes:
            with pytest.raises(RecipeMismatch, match=r"with another network of the name .*tiny\.onnx; restore that"):
                change()
    make_model(tmp_path / "models")
    with Library.open(tmp_path / "library") as library:
        assert library.search(picture(1), k=3).scores.size == 3


def test_a_mismatch_says_what_differs(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, files = tmp_path / "white.npz", sorted(photos.rglob("*.jpg"))
    save_whitening(file, fit_whitening(recipe, files, dimension=8), recipe)
    with Library.create(tmp_path / "library", recipe=dataclasses.replace(recipe, whitening=str(file))) as library:
        library.index(photos / "a")

    def why() -> str:
        with Library.open(tmp_path / "library") as library, pytest.raises(RecipeMismatch) as caught:
            library.index(photos / "a")
        return str(caught.value).removeprefix(f"{tmp_path / 'library'}: its vectors were made with ")

    remedy = "; restore that, or index into a new library"
    with monkeypatch.context() as patched:
        patched.setattr("kindred.describer.describer.VERSION", 3)
        assert why() == f"another version of Kindred (descriptions of version 2, not 3){remedy}"
    save_whitening(tmp_path / "library" / "fitted-0.npz", fit_whitening(recipe, files[2:], dimension=8), recipe)
    assert why() == f"another whitening{remedy}"
    with sqlite3.connect(tmp_path / "library" / "store.sqlite") as connection:
        for value in ("{}", '["version"]', "[" * 10_000, '{"version": 2}'):
            connection.execute("UPDATE meta SET value = ? WHERE key = 'provenance'", (value,))
            connection.commit()
            assert why() == f"another version of Kindred, of {recipe.backbone} or of its whitening{remedy}"
    connection.close()


def test_a_library_keeps_its_own_copy_of_a_whitening(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    file = tmp_path / "white.npz"
    save_whitening(file, fit_whitening(recipe, sorted(photos.rglob("*.jpg")), dimension=8), recipe)
    white = dataclasses.replace(recipe, whitening=str(file))
    with Library.create(tmp_path / "library", recipe=white) as library:
        library.index(photos / "a")
    shutil.move(tmp_path / "library", tmp_path / "moved")
    Library.open(tmp_path / "moved", recipe=white).close()
    with pytest.raises(RecipeMismatch, match="dimension 0, not 5"):
        Library.open(tmp_path / "moved", recipe=dataclasses.replace(white, dimension=5))
    with pytest.raises(RecipeMismatch, match="whitening"):
        Library.open(tmp_path / "moved", recipe=recipe)
    save_whitening(file, fit_whitening(recipe, sorted((photos / "b").rglob("*.jpg")), dimension=8), recipe)
    with pytest.raises(RecipeMismatch, match=r"whitening .*, not "):
        Library.open(tmp_path / "moved", recipe=white)
    file.unlink()
    with Library.open(tmp_path / "moved") as library:
        assert library.describe(picture(1)).shape == (1, 8)
        assert library.search(photos / "a/00003.jpg")[0].path.name == "00003.jpg"


def test_a_backbone_given_by_a_relative_path_is_found_from_everywhere(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    with Library.create("library", recipe=dataclasses.replace(recipe, backbone="tiny.onnx")) as library:
        library.index(photos / "a")
    monkeypatch.chdir("/")
    with Library.open(tmp_path / "library") as library:
        assert len(library.search(picture(1))) == 10


# Formats and damage


def database(library: Path) -> sqlite3.Connection:
    return sqlite3.connect(library / "store.sqlite", isolation_level=None)


def test_a_newer_format_is_refused_and_left_alone(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "new")
    with database(tmp_path / "new") as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    before = (tmp_path / "new/store.sqlite").read_bytes()
    with pytest.raises(LibraryTooNew, match=f"format {FORMAT + 1}.*upgrade it with git pull"):
        Library.open(tmp_path / "new")
    assert (tmp_path / "new/store.sqlite").read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no recipe"])
def test_a_damaged_library_is_named_with_what_to_do(made: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(made, tmp_path / "bad")
    file = tmp_path / "bad/store.sqlite"
    if damage == "no recipe":
        with database(tmp_path / "bad") as connection:
            connection.execute("DELETE FROM meta WHERE key = 'recipe'")
        connection.close()
    else:
        whole = file.read_bytes()
        file.write_bytes({"empty": b"", "text": b"no database" * 100, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(LibraryDamaged, match="restore"), Library.open(tmp_path / "bad") as library:
        library.search(picture(1))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_recipe_of_a_newer_kindred_leaves_nothing_open(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "odd")
    with database(tmp_path / "odd") as connection:
        connection.execute("UPDATE meta SET value = value || 'glances = 3' WHERE key = 'recipe'")
    connection.close()
    expected = r"odd: was made by another version of Kindred \(unknown key 'glances'\); index .* new library"
    with pytest.raises(LibraryError, match=expected):
        Library.open(tmp_path / "odd")
    opened = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert not [path for path in opened if path.startswith(str(tmp_path / "odd"))]


# The search index


def test_a_snapshot_gives_the_same_results_as_all_rows(library: Library, tmp_path: Path, photos: Path) -> None:
    exact = library.search(picture(3), k=COUNT)
    library.close()
    policy = SnapshotPolicy(exact_below=10, changes=5, tail_share=0.0)
    with Library.open(library.path, policy=policy) as opened:
        opened.index(photos)  # nothing new, but the index is due
        assert list(library.path.glob("index-*"))
        assert opened.search_index.approximate
        found = opened.search(picture(3), k=COUNT)
        assert set(names(found)) == set(names(exact))
        assert np.abs(found.scores - exact.scores).max() < 0.001
        opened.index(make_folder(tmp_path / "more", 8, first=100)[0].parent)
        assert names(opened.search(picture(104)))[0] == "00104.jpg"
        assert len(opened.search_index) == COUNT + 8
        assert len(list(library.path.glob("index-*"))) == 1


def test_the_index_stays_when_a_library_that_was_searched_is_changed(library: Library, tmp_path: Path) -> None:
    library.search(picture(1))
    index = library.search_index
    (path,) = make_folder(tmp_path / "more", 1, first=100)
    library.add(path)
    assert library.search(path)[0].path == path
    assert library.search_index is index


def test_a_small_library_reads_no_rows_to_index_more(library: Library, tmp_path: Path) -> None:
    library.index(make_folder(tmp_path / "more", 3, first=100)[0].parent)
    assert len(library.search_index) == 0  # as nothing was read


# Processes

READER = """
import sys
from kindred.library import Library
with Library.open(sys.argv[1]) as library:
    for line in sys.stdin:
        results = library.search(line.strip(), k=1)
        print(len(library), results[0].path.name, flush=True)
"""


def test_another_process_searches_what_this_one_just_wrote(library: Library, tmp_path: Path) -> None:
    paths = make_folder(tmp_path / "more", 3, first=100)
    command = [sys.executable, "-W", "error", "-c", READER, str(library.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for count, path in enumerate(paths, 1):
            library.add(path)
            print(path, file=reader.stdin, flush=True)
            assert reader.stdout.readline().split() == [str(COUNT + count), path.name]
        library.remove(paths[0])
        print(paths[0], file=reader.stdin, flush=True)
        found = reader.stdout.readline().split()
        reader.stdin.close()
    assert found[0] == str(COUNT + 2)
    assert found[1] != paths[0].name
    assert reader.returncode == 0


def test_two_open_libraries_change_one_folder_in_turns(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "library")
    (path,) = make_folder(tmp_path / "more", 1, first=100)
    with Library.open(tmp_path / "library") as one, Library.open(tmp_path / "library") as two:
        one.search(picture(1))
        two.search(picture(1))
        one.add(path)
        assert two.tag(path, "new") == 1
        assert two.search(path)[0].path == path
        assert one.untag(path, "new") == 1
        assert two.remove(path) == 1
        assert one.search(path)[0].path != path
        with one.store.indexing(), pytest.raises(LibraryLocked, match="this process is indexing into this library"):
            two.index(path.parent)


# The development photos


@pytest.mark.shared
def test_the_development_photos_are_indexed_as_their_manifest_states(
    shared: Path, tmp_path: Path, recipe: Recipe
) -> None:
    folder = (shared / "data" / "photos").resolve()
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        manifest = {folder / row["path"]: row for row in csv.DictReader(file)}
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        report = library.index(folder)
        assert report.found == len(manifest)
        skipped = {path: row["reason"] for path, row in manifest.items() if row["expected"] == "skipped"}
        assert dict(report.skipped) == skipped
        assert report.indexed == len(manifest) - len(skipped) == len(library)
        rows = library.store.rows(library.store.select(Filter()).tolist()).values()
        sizes = {row.path: (row.width, row.height) for row in rows}
        expected = {
            path: (int(row["width"]), int(row["height"])) for path, row in manifest.items() if path not in skipped
        }
        assert sizes == expected
        again = library.index(folder)
        assert (again.indexed, again.unchanged) == (0, report.indexed)
        assert dict(again.skipped) == skipped
        turned = library.search(folder / "rotated/portal.jpg", k=4)
        assert {hit.path.parent.name for hit in turned} == {"rotated"}
        assert turned[3].score > 0.99


def test_errors_are_one_line(made: Path, recipe: Recipe, tmp_path: Path) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: Library.open(tmp_path),
        lambda: Library.create(made, recipe=recipe),
        lambda: Library.open(made, recipe=dataclasses.replace(recipe, size=96)),
    ]
    for attempt in attempts:
        with pytest.raises(KindredError) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_options_of_describing_reach_the_describer(photos: Path, tmp_path: Path, recipe: Recipe) -> None:
    from kindred.describer import DescriberOptions

    with Library.create(tmp_path / "small", recipe=recipe, options=DescriberOptions(max_pixels=100)) as library:
        report = library.index(photos)
        assert report.indexed == 0
        assert {reason for _, reason in report.skipped} == {"too large: 0.003072 megapixels, limit 0.0001"}
    with Library.open(tmp_path / "small", options=DescriberOptions(workers=1)) as library:
        assert library.index(photos).indexed == COUNT, "what was too large is tried again"
    with pytest.raises(UsageError, match="workers is 0; expected a whole number from 1 to 32"):
        DescriberOptions(workers=0)
