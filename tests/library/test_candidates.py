"""Candidates for re-ranking come from vectors and from an inverted file of visual words, filtered alike."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.describer import Describer, fit_recipe
from kindred.errors import RecipeError, UsageError
from kindred.evaluation import evaluate
from kindred.exchange import export_vectors, import_vectors
from kindred.library import Library
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import Context
from kindred.store import Filter

pytest.importorskip("cv2")
COUNT = 16


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures large and rich enough to have keypoints."""
    folder = tmp_path_factory.mktemp("textured")
    for number in range(COUNT):
        tiles = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        picture = Image.fromarray(tiles).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def worded(recipe: Recipe, textured: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe whose vectors say next to nothing, with visual words."""
    blind = dataclasses.replace(recipe, pooling="window_average", shape="stretch", size=32, features="sift")
    fitted = fit_recipe(blind, sorted(textured.iterdir()), feature_words=32, whiten=False)
    file = tmp_path_factory.mktemp("fitted") / "worded.toml"
    assert [path.name for path in fitted.save(file)] == ["worded.toml", "worded-words.npz"]
    return Recipe.load(file)


def turned(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").rotate(90, expand=True))


class Look:
    """A re-ranker that changes nothing, and notes what it is given: further candidates of each pass."""

    def __init__(self) -> None:
        self.ranking: Ranking | None = None
        self.further: list[list[int]] = []

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        self.ranking = ranking
        self.further = [] if context.further is None else [each.tolist() for each in context.further(0)]
        ids = ranking.ids[0][ranking.ids[0] >= 0]
        cosines = context.gallery.fetch(ids) @ context.queries[0]
        np.testing.assert_allclose(ranking.scores[0, : len(ids)], cosines, atol=1e-5)
        return ranking


def test_half_of_the_candidates_are_the_best_by_visual_words(tmp_path: Path, worded: Recipe, textured: Path) -> None:
    with Library.create(tmp_path / "library", recipe=worded) as library:
        library.index(textured)
        ids = {path.name: number for path, number in zip(sorted(textured.iterdir()), range(1, COUNT + 1), strict=True)}
        plain = dict.fromkeys(hit.path.name for hit in library.search(turned(textured / "07.png"), k=COUNT))
        rows = {row.path.name: number for number, row in library.store.rows(range(1, COUNT + 1)).items()}
        assert rows.keys() == ids.keys() == plain.keys()
        for number in range(COUNT):
            name, look = f"{number:02}.png", Look()
            query = turned(textured / name)
            by_vector = [hit.path.name for hit in library.search(query, k=1)]
            library.search(query, k=1, depth=2, rerank=[look])
            assert look.ranking is not None
            found = look.ranking.ids[0].tolist()
            assert {rows[name], rows[by_vector[0]]} == set(found)
            (further,) = look.further  # SIFT looks at a query once
            assert set(found) <= set(further) <= set(rows.values())
            assert further[0] == rows[name]  # the best by words and vectors together
            look = Look()
            library.search(query, k=1, depth=2, rerank=[look], where=Filter(tags=("none",)))
            assert look.ranking is not None
            assert look.ranking.ids.size == 0
            assert look.further == [[]]


def test_further_candidates_are_those_of_each_pass_over_the_query(tmp_path: Path, textured: Path) -> None:
    with Library.create(tmp_path / "library", recipe="kin") as library:
        library.index(textured)
        rows = {row.path.name: number for number, row in library.store.rows(range(1, COUNT + 1)).items()}
        first = []
        for number in range(COUNT):
            look, name = Look(), f"{number:02}.png"
            library.search(turned(textured / name), k=1, rerank=[look])
            assert len(look.further) == 5
            first.append([each[0] == rows[name] for each in look.further])
    # The passes look at the query as it is, small and large, and turned by 90, 180 and 270°; 270° undo its turn.
    assert np.mean(first, axis=0)[4] == 1
    assert (np.mean(first, axis=0)[:4] < 0.5).all()


def test_candidates_follow_the_library_and_pass_its_filter(tmp_path: Path, worded: Recipe, textured: Path) -> None:
    with Library.create(tmp_path / "library", recipe=worded) as library:
        library.index(textured)
        query = turned(textured / "03.png")

        def verified(where: Filter | None = None) -> str:
            return library.search(query, k=1, depth=4, rerank="verify", where=where)[0].path.name

        assert verified() == "03.png"
        library.tag(textured / "05.png", "other")
        assert verified(Filter(tags=("other",))) == "05.png"
        library.remove(textured / "03.png")
        assert verified() != "03.png"
        library.add(textured / "03.png")
        assert verified() == "03.png"


def test_words_stay_through_an_import_of_vectors(tmp_path: Path, worded: Recipe, textured: Path) -> None:
    with Library.create(tmp_path / "library", recipe=worded) as library:
        library.index(textured)
        before = [batch.words.tolist() for _, batch in library.store.visual_words()]
        export_vectors(library, tmp_path / "vectors.npz")
    import_vectors(tmp_path / "library", tmp_path / "vectors.npz")
    with Library.open(tmp_path / "library") as library:
        after = [batch.words.tolist() for _, batch in library.store.visual_words()]
    assert before == after
    assert len(before[0]) > 50 * COUNT


def test_an_evaluation_takes_the_candidates_of_a_library(tmp_path: Path, worded: Recipe, textured: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    queries = {}
    for path in sorted(textured.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
        Image.fromarray(turned(path)).save(folder / f"turned-{path.name}")
        queries[f"turned-{path.name}"] = {"relevant": [path.name], "junk": [], "box": None}
    database = [path.name for path in sorted(textured.iterdir())]
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "turned", "database": database, "queries": queries}))
    alone = dataclasses.replace(worded, words="")
    by_vectors = evaluate(file, recipe=alone, rerank="verify", depth=4, cache=tmp_path / "cache")
    found = [evaluate(file, recipe=worded, rerank="verify", depth=4, cache=tmp_path / "cache") for _ in range(2)]
    assert by_vectors.metrics["recall@1"] < 0.8
    assert [each.metrics["recall@1"] for each in found] == [1.0, 1.0]  # described, and from the cache
    added = found[0].bytes_per_image - by_vectors.bytes_per_image
    assert 10 * 50 < added <= 10 * 150


def test_words_of_other_features_and_of_none_are_refused(worded: Recipe) -> None:
    with pytest.raises(RecipeError, match="words are those of local features, and none are stored"):
        dataclasses.replace(worded, features="")
    with pytest.raises(RecipeError, match="words find images of one vector each"):
        dataclasses.replace(worded, aggregate="multi_vector")
    with pytest.raises(UsageError, match="stores no local features"):
        fit_recipe(dataclasses.replace(worded, words="", features=""), [], feature_words=8)
    with pytest.raises(RecipeError, match=r"its words .* was fitted for"):
        Describer(dataclasses.replace(worded, features="conv"))


def test_words_are_fitted_beside_the_whitening_that_there_is(recipe: Recipe, textured: Path, tmp_path: Path) -> None:
    paths = sorted(textured.iterdir())
    fit_recipe(dataclasses.replace(recipe, features="sift"), paths, dimension=4).save(tmp_path / "white.toml")
    white = Recipe.load(tmp_path / "white.toml")
    fitted = fit_recipe(white, paths, feature_words=32)
    fitted.save(tmp_path / "words.toml")
    both = Recipe.load(tmp_path / "words.toml")
    assert (both.whitening, both.dimension) == (white.whitening, white.dimension)
    np.testing.assert_allclose(Describer(both).describe(paths), Describer(white).describe(paths), atol=1e-6)


def test_other_features_drop_their_words(worded: Recipe) -> None:
    assert worded.with_settings(["features=conv"]).words == ""
    assert worded.with_settings(["features=sift"]).words == worded.words
    assert worded.with_settings(["size=48"]).words == worded.words
    assert worded.with_settings(["features=conv", f"words={worded.words}"]).words == worded.words
