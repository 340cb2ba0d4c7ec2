"""What a recipe of words is measured by: ASMK with the rarity of words, queries with several words a descriptor."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.describer import Describer, FittedParameters, fit_recipe
from kindred.embedding import Codebook
from kindred.errors import RecipeError
from kindred.evaluation import evaluate
from kindred.matching import ImageRows, from_bfloat16, to_bfloat16
from kindred.recipe import Recipe
from literal_orders import literal_order, own_places
from pictures import make_folder, make_groundtruth
from tiny_model import home, make_recipe

COUNT, ASKED, WORDS = 16, 6, 12


@pytest.fixture(scope="module", autouse=True)
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    """A recipe whose words are of very unlike rarity."""
    with home(tmp_path_factory.mktemp("home")) as folder:
        make_folder(folder / "others", 12, first=500)
        plain = make_recipe(folder, taps=["shallow"], embedding="asmk", positions=40)
        fitted = fit_recipe(plain, sorted((folder / "others").iterdir()), words=WORDS, whiten=False)
        (book,) = fitted.fitted.codebooks
        assert isinstance(book, Codebook)
        rare = dataclasses.replace(book, idf=np.linspace(0.1, 3, WORDS).astype(np.float32))
        dataclasses.replace(fitted, fitted=FittedParameters((rare,))).save(folder / "words.toml")
        yield Recipe.load(folder / "words.toml")


@pytest.fixture(scope="module")
def groundtruth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some other pictures look for one of the database, and two of the database for another one."""
    return make_groundtruth(tmp_path_factory.mktemp("images"), count=COUNT, asked=ASKED)


def literal(query: ImageRows, image: ImageRows, idf: NDArray[np.float32]) -> float:
    """Σ idf² u³ over the shared words where u > 0, over the root of both self-similarities."""
    assert query.words is not None
    assert image.words is not None
    kept = from_bfloat16(to_bfloat16(image.rows))  # as the index keeps them
    theirs = dict(zip(image.words.tolist(), kept, strict=True))
    shared = 0.0
    for word, row in zip(query.words.tolist(), query.rows, strict=True):
        if word in theirs and (u := float(row @ theirs[word])) > 0:
            shared += float(idf[word]) ** 2 * u**3
    own = [float((idf[each.words].astype(np.float64) ** 2).sum()) for each in (query, image)]
    return shared / math.sqrt(own[0] * own[1])


def literal_map(recipe: Recipe, groundtruth: Path, idf: NDArray[np.float32]) -> float:
    """The mean average precision with queries that are asked, and images that are not."""
    table, describer = json.loads(groundtruth.read_text()), Describer(recipe)
    described = {
        each.key: each for each in describer.stream((name, groundtruth.parent / name) for name in table["database"])
    }
    found = []
    for at, name in enumerate(table["queries"]):
        query = describer.image_rows(groundtruth.parent / name)
        scores = [literal(query, describer.as_image_rows(described[image]), idf) for image in table["database"]]
        (own,) = own_places([name], table["database"])
        found.append(1 / (1 + literal_order(scores, own=own).index(at)))
    return float(np.mean(found))


def test_words_are_weighted_by_idf(words: Recipe, groundtruth: Path) -> None:
    (book,) = Describer(words).fitted.codebooks
    assert isinstance(book, Codebook)
    assert book.idf is not None
    rare, even = (literal_map(words, groundtruth, idf) for idf in (book.idf, np.ones(WORDS, np.float32)))
    assert rare != pytest.approx(even, abs=0.01)
    assert evaluate(groundtruth, recipe=words).metrics["mAP"] == pytest.approx(rare, abs=1e-3)
    without = dataclasses.replace(words, matching_options={"idf": False})
    assert evaluate(groundtruth, recipe=without).metrics["mAP"] == pytest.approx(even, abs=1e-3)


def test_idf_is_true_or_false(words: Recipe) -> None:
    given = Describer(dataclasses.replace(words, matching_options={"idf": True, "alpha": 2.0})).matching_options
    assert set(given) == {"idf", "alpha"}
    assert isinstance(given["idf"], np.ndarray)
    assert Describer(dataclasses.replace(words, matching_options={"idf": False})).matching_options == {}
    with pytest.raises(RecipeError, match=r"matching_options\.idf is 3\.0; expected true or false"):
        _ = Describer(dataclasses.replace(words, matching_options={"idf": 3.0})).matching_options
    toml = dataclasses.replace(words, matching_options={"idf": False}).to_toml()
    assert "{ idf = false }" in toml
    assert Recipe.from_toml(toml).matching_options == {"idf": False}


def test_queries_use_several_words(words: Recipe, groundtruth: Path, tmp_path: Path) -> None:
    several = dataclasses.replace(words, embedding_options={"multiple": 3})
    assert not Describer(words).describes_queries_differently
    assert Describer(several).describes_queries_differently
    describer = Describer(several)
    path = groundtruth.parent / "db/00003.jpg"
    ((plain,), (asked,)) = (list(describer.stream([(0, path)], is_query=is_query)) for is_query in (False, True))
    assert plain.vectors is not None
    assert asked.vectors is not None
    assert len(asked.vectors) > len(plain.vectors)
    np.testing.assert_array_equal(asked.vectors, describer.image_rows(path).rows)
    (book,) = describer.fitted.codebooks
    assert isinstance(book, Codebook)
    assert book.idf is not None
    wanted = literal_map(several, groundtruth, book.idf)
    steps: list[tuple[int, int]] = []
    for _ in range(2):  # the second time from the cache
        found = evaluate(groundtruth, recipe=several, cache=tmp_path, progress=lambda *step: steps.append(step))
        assert found.metrics["mAP"] == pytest.approx(wanted, abs=1e-3)
    assert len(list(tmp_path.glob("descriptions-*.npz"))) == 2
    # The two that are query and image are described both ways.
    assert steps[COUNT + ASKED - 1] == steps[-1] == (COUNT + ASKED, COUNT + ASKED)


def test_an_image_described_differently_as_a_query_is_described_twice(words: Recipe, groundtruth: Path) -> None:
    from kindred.evaluation.describing import DescribingTask

    part = [(groundtruth.parent / "db/00003.jpg", None)]
    plain, several = (
        DescribingTask(Describer(dataclasses.replace(words, embedding_options=options)))
        for options in ({}, {"multiple": 3})
    )
    assert plain.key(part) == plain.key(part, is_query=True)
    assert several.key(part) != several.key(part, is_query=True)
