"""A library whose recipe has a code: some bytes an image are searched, vectors score the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kindred.describer import Describer, fit_recipe
from kindred.duplicates import find_duplicates
from kindred.errors import RecipeMismatch
from kindred.index import SnapshotPolicy, SyncedIndex
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Filter
from pictures import make_folder, picture, save_picture
from tiny_model import home, make_recipe

COUNT = 40


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A recipe file with a whitening and a code of 16 bits."""
    with home(tmp_path_factory.mktemp("home")) as folder:
        make_folder(folder / "others", 40, first=500)
        fitted = fit_recipe(make_recipe(folder), sorted((folder / "others").iterdir()), code="itq", bits=16)
        fitted.save(folder / "coded.toml")
        yield folder / "coded.toml"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder / "a", COUNT // 2)
    make_folder(folder / "b", COUNT // 2, first=COUNT // 2)
    return folder


@pytest.fixture
def library(coded: Path, photos: Path, tmp_path: Path) -> Iterator[Library]:
    # A policy that would make an index of vectors at once: a library of codes has none.
    with Library.create(tmp_path / "library", recipe=coded, policy=SnapshotPolicy(exact_below=1)) as made:
        made.index(photos)
        yield made


def test_codes_are_searched_and_vectors_score_the_best(library: Library, coded: Path) -> None:
    assert not list(library.path.glob("index-*"))
    assert sorted(path.name for path in library.path.glob("fitted-*")) == ["fitted-0.npz", "fitted-1.npz"]
    vectors = np.concatenate([rows for _, rows in library.store.vectors()])
    query = library.describe(picture(77))
    code = library.describer.fitted.codes
    assert code is not None
    # The library goes 10 times as deep as what is asked for: 20 of 40 images by code.
    places, _ = code.search(query, code.encode(vectors), 20)
    expected = np.sort((vectors @ query[0])[places[0]])[::-1][:2]
    results = library.search(picture(77), k=2)
    np.testing.assert_allclose(results.scores, expected, atol=1e-5)
    # Deep enough, results are exact.
    every = library.search(query, k=COUNT)
    np.testing.assert_allclose(every.scores, np.sort(vectors @ query[0])[::-1], atol=1e-5)
    searcher = library.searcher
    assert isinstance(searcher.index, SyncedIndex)
    assert searcher.index.nbytes == 2 * COUNT
    assert Describer(Recipe.load(coded)).fingerprint == library.describer.fingerprint


def test_codes_follow_the_library(library: Library, photos: Path, tmp_path: Path) -> None:
    image = photos / "a" / "00004.jpg"
    assert library.search(image, k=1)[0].path == image
    assert library.remove(image) == 1
    assert image not in [hit.path for hit in library.search(image, k=COUNT)]
    new = save_picture(tmp_path / "new.png", 900, width=64, height=48)
    library.add(new)
    assert library.search(new, k=1)[0].path == new
    found = library.search(image, k=COUNT, where=Filter(folder=photos / "b"))
    assert {hit.path.parent.name for hit in found} == {"b"}
    assert len(found) == COUNT // 2
    with Library.open(library.path) as other:
        assert [hit.path for hit in other.search(new, k=3)] == [hit.path for hit in library.search(new, k=3)]


def test_rerankers_and_duplicates_have_the_vectors(library: Library, photos: Path) -> None:
    results = library.search(photos / "a" / "00002.jpg", k=3, rerank="aqe:n=3")
    assert len(results) == 3
    assert results[0].path.name == "00002.jpg"
    assert find_duplicates(library) is not None


def test_the_code_is_part_of_what_a_library_does(library: Library, coded: Path) -> None:
    library.close()
    with Library.open(library.path, recipe=coded) as same:
        assert len(same) == COUNT
    bare = dataclasses.replace(Recipe.load(coded), code="", name="bare")
    with pytest.raises(RecipeMismatch, match=r"differs from 'bare': code '.*fitted-1\.npz', not ''"):
        Library.open(library.path, recipe=bare)


def test_a_library_of_rows_as_codes_finds_what_the_rows_find(coded: Path, photos: Path, tmp_path: Path) -> None:
    plain = make_recipe(coded.parent)
    rows = dataclasses.replace(
        plain, name="rows", passes="grid", passes_options={"cells": 2}, aggregate="multi_vector", matching="patches"
    )
    fitted = fit_recipe(rows, sorted((coded.parent / "others").iterdir()), code="rabitq", whiten=False)
    assert fitted.fitted.codes is not None
    fitted.save(tmp_path / "rows.toml")
    with (
        Library.create(tmp_path / "coded", recipe=tmp_path / "rows.toml") as library,
        Library.create(tmp_path / "exact", recipe=rows) as exact,
    ):
        library.index(photos)
        exact.index(photos)
        for number in (3, 77):
            found, expected = (each.search(picture(number), k=COUNT) for each in (library, exact))
            np.testing.assert_allclose(found.scores, expected.scores, atol=5e-3)
            assert {hit.path: hit.box for hit in found}.keys() == {hit.path for hit in expected}
        index = library.searcher.index
        assert index.approximate
        assert index.nbytes == 5 * COUNT * fitted.fitted.codes.bytes_per_vector
        assert library.search(picture(3), k=1)[0].path == photos / "a" / "00003.jpg"
        save_picture(tmp_path / "more" / "new.jpg", 900)
        library.index(tmp_path / "more")
        assert library.search(picture(900), k=1)[0].path == tmp_path / "more" / "new.jpg"
        assert len(library.search(picture(900), k=2 * COUNT, where=Filter(folder=photos / "a"))) == COUNT // 2


def motif(number: int) -> Image.Image:
    """Draw stripes, a checkerboard or rings, 160 × 120."""
    image = Image.new("RGB", (160, 120), "white")
    draw = ImageDraw.Draw(image)
    for step in range(8):
        if number == 0:
            draw.rectangle((step * 20, 0, step * 20 + 8, 120), fill="black")
        elif number == 1:
            for row in range(6):
                draw.rectangle(
                    (20 * step + 10 * (row % 2), 20 * row, 20 * step + 10 * (row % 2) + 9, 20 * row + 19), fill="navy"
                )
        else:
            draw.ellipse((75 - 10 * step, 55 - 10 * step, 85 + 10 * step, 65 + 10 * step), outline="green", width=4)
    return image


def test_the_preset_of_patches_finds_a_part_and_its_box(tmp_path: Path) -> None:
    """A motif fills the lower right quarter of one scene each; the codes of 30 cells find the scene and the quarter."""
    (tmp_path / "scenes").mkdir()
    for number in range(3):
        scene = Image.fromarray(picture(50 + number, width=320, height=240))
        scene.paste(motif(number), (160, 120))
        scene.save(tmp_path / "scenes" / f"{number}.png")
    with Library.create(tmp_path / "library", recipe="patches") as library:
        library.index(tmp_path / "scenes")
        assert library.store.counts().vectors == 3 * 30
        assert library.describer.fitted.codes is not None
        assert library.describer.fitted.codes.bytes_per_vector == 84
        found = [library.search(np.asarray(motif(number)), k=1).hits[0] for number in range(3)]
    assert [hit.path.name for hit in found] == ["0.png", "1.png", "2.png"]
    for hit in found:
        assert hit.box is not None
        assert hit.box[0] >= 100
        assert hit.box[1] >= 80
