"""Negative examples, many queries in one call, and a least score."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.arrays import l2_normalise
from kindred.errors import ImageError, LibraryNotFound, UsageError
from kindred.library import Library
from kindred.library.query import NEGATIVE_WEIGHT
from kindred.recipe import Recipe
from pictures import make_folder

pytestmark = pytest.mark.usefixtures("recipe")
COUNT = 15


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_folder(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
    return folder


def test_negatives_are_subtracted_as_rocchio_does(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        wanted, first, second = library.describe([photos[0], photos[1], photos[2]])
        unwanted = l2_normalise((first + second)[None])[0]
        by_hand = library.search(l2_normalise((wanted - NEGATIVE_WEIGHT * unwanted)[None])[0], k=COUNT)
        found = library.search(photos[0], k=COUNT, negatives=[photos[1], photos[2]])
        assert [hit.path for hit in found] == [hit.path for hit in by_hand]
        np.testing.assert_allclose(found.scores, by_hand.scores, atol=1e-5)
        plain = {hit.path: hit.score for hit in library.search(photos[0], k=COUNT)}
        assert {hit.path: hit.score for hit in found}[photos[1]] < plain[photos[1]]
        np.testing.assert_allclose(library.search(wanted, k=COUNT, negatives=unwanted).scores, found.scores, atol=1e-5)


def test_negatives_that_are_the_query_are_refused(
    made: Path, photos: list[Path], recipe: Recipe, tmp_path: Path
) -> None:
    with Library.open(made) as library, pytest.raises(UsageError, match="the query itself"):
        library.search(photos[0], negatives=photos[0])
    rows = dataclasses.replace(recipe, passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    with Library.create(tmp_path / "rows", recipe=rows) as library:
        library.index(photos[:3])
        with pytest.raises(UsageError, match="one vector per image"):
            library.search(photos[0], negatives=photos[1])


def test_results_below_the_minimum_score_are_left_out(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        every = library.search(photos[3], k=COUNT)
        least = every[4].score
        some = library.search(photos[3], k=COUNT, min_score=least)
        assert [hit.path for hit in some] == [hit.path for hit in every if hit.score >= least]
        assert len(some.ids) == len(some.scores) == len(some) >= 5
        assert len(library.search(photos[3], min_score=1.5)) == 0


def test_many_queries_are_searched_in_their_order_as_one_by_one(made: Path, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    queries = [*photos[:5], bad, *photos[5:]]
    with Library.open(made) as library:
        found = list(library.search_each(iter(queries), k=3))
        assert [each.query for each in found] == queries
        assert found[5].results is None
        assert found[5].error is not None
        for each, query in zip(found, queries, strict=True):
            if query is bad:
                continue
            assert each.error is None
            assert each.results is not None
            alone = library.search(query, k=3)
            assert [hit.path for hit in each.results] == [hit.path for hit in alone]
            np.testing.assert_allclose(each.results.scores, alone.scores, atol=1e-3)
        assert found[0].results is not None
        assert found[0].results[0].path == photos[0]
        assert list(library.search_each([])) == []


def test_many_queries_can_be_re_ranked_and_filtered(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        for each in library.search_each(photos[:3], k=4, rerank="aqe:n=2", min_score=-1):
            assert isinstance(each.query, Path)
            assert each.results is not None
            alone = library.search(each.query, k=4, rerank="aqe:n=2")
            assert [hit.path for hit in each.results] == [hit.path for hit in alone]


def test_the_id_of_an_image_is_a_query(made: Path, photos: list[Path], recipe: Recipe, tmp_path: Path) -> None:
    with Library.open(made) as library:
        by_path = library.search(photos[4], k=5)
        by_id = library.search(by_path[0].id, k=5)
        assert [hit.path for hit in by_id] == [hit.path for hit in by_path]
        np.testing.assert_allclose(by_id.scores, by_path.scores, atol=1e-3)
        with pytest.raises(
            UsageError, match="0123456789abcdef is neither the id of an image of this library nor a file"
        ):
            library.search("0123456789abcdef")
    rows = dataclasses.replace(recipe, passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    with Library.create(tmp_path / "rows", recipe=rows) as library:
        library.index(photos[:3])
        wanted = library.search(photos[1], k=1)[0]
        assert library.search(wanted.id, k=1)[0].path == photos[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": "5"}, "k: got '5'; expected a whole number"),
        ({"k": None}, "k: got None; expected a whole number"),
        ({"depth": 0, "rerank": "aqe"}, "depth: got 0; expected a whole number"),
        ({"min_score": float("nan")}, "min_score is nan; expected a number"),
        ({"min_score": "0.5"}, "min_score is '0.5'; expected a number"),
        ({"where": "price<5"}, "where is 'price<5'; expected a Filter, such as Filter"),
    ],
)
def test_options_of_a_wrong_type_are_one_line(
    made: Path, photos: list[Path], options: dict[str, Any], message: str
) -> None:
    with Library.open(made) as library, pytest.raises(UsageError, match=message):
        library.search(photos[0], **options)


def test_other_arguments_of_a_wrong_type_are_one_line(made: Path, photos: list[Path]) -> None:
    wrong: Any = 5
    with Library.open(made) as library:
        with pytest.raises(UsageError, match="the query vector is zero"):
            library.search(np.zeros_like(library.describe(photos[0])[0]))
        with pytest.raises(ImageError, match="'': no such file"):
            library.search("")
        for call in (library.index, library.add, library.remove, library.get):
            with pytest.raises(UsageError, match="got 5; expected the path of an image"):
                call(wrong)
        for edit in (library.tag, library.untag, library.unset_metadata):
            with pytest.raises(UsageError, match="got 5; expected text"):
                edit(photos[0], wrong)
        assert library.add("a\0b").skipped[0][1].startswith("cannot be read: ")
        assert [each.results is not None for each in library.search_each(str(photos[0]))] == [True]
    with pytest.raises(LibraryNotFound):
        Library.open("a\0b")
