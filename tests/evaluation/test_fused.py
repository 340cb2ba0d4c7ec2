"""Late fusion in an evaluation, against a literal one: rankings by hand, places and scores added up one by one."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.calibration import Calibration
from kindred.describer import Describer, fit_record, save_fitted
from kindred.errors import RecipeError, UsageError
from kindred.evaluation import Evaluation, evaluate
from kindred.evaluation.ties import tie_order
from kindred.recipe import Recipe
from literal_orders import literal_order, own_places
from pictures import make_groundtruth
from tiny_model import CHANNELS, home, make_recipe

COUNT, ASKED = 24, 8


@pytest.fixture(scope="module", autouse=True)
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Recipe]]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        plain = make_recipe(folder)
        yield [
            plain,
            dataclasses.replace(plain, name="strong", pooling="max"),
            dataclasses.replace(
                plain, name="parts", passes="grid", passes_options={"cells": 2}, aggregate="multi_vector"
            ),
        ]


@pytest.fixture(scope="module")
def groundtruth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of some other pictures looks for one of the database; two lie in it, and one of these is left out."""
    return make_groundtruth(tmp_path_factory.mktemp("images"), count=COUNT, asked=ASKED)


def scores_of(recipe: Recipe, groundtruth: Path) -> NDArray[np.float32]:
    """The scores (Q, N) of all images."""
    table = json.loads(groundtruth.read_text())
    describer = Describer(recipe)
    queries = describer.describe([groundtruth.parent / name for name in table["queries"]])
    paths = [groundtruth.parent / name for name in table["database"]]
    if recipe.aggregate != "multi_vector":
        scores: NDArray[np.float32] = queries @ describer.describe(paths).T
        return scores
    return np.stack([(queries @ describer.image_rows(path).rows.T).max(axis=1) for path in paths], axis=1)


def own_of(groundtruth: Path) -> list[int | None]:
    """Where each query is in the database."""
    table = json.loads(groundtruth.read_text())
    return own_places(list(table["queries"]), table["database"])


def fused_by_hand(scores: list[NDArray[np.float32]], fusion: str, depth: int, own: int | None) -> list[int]:
    """The fused order of all images but `own` for one query; `scores` are those of each recipe (N,)."""
    orders = [literal_order(each.tolist(), own=own) for each in scores]
    heads = [order[:depth] for order in orders]
    sums: dict[int, float] = {}
    for image in sorted({image for head in heads for image in head}):
        sums[image] = 0.0
        for head, each in zip(heads, scores, strict=True):
            high, low = each[head[0]], each[head[-1]]
            if image in head and fusion == "reciprocal_rank":
                sums[image] += 1 / (60 + head.index(image) + 1)
            elif image in head:
                sums[image] += float((each[image] - low) / (high - low))
    turn = tie_order(COUNT).tolist()
    first = sorted(sums, key=lambda image: (-np.float32(sums[image]), turn.index(image)))
    return [*first, *(image for image in orders[0] if image not in sums)]


@pytest.mark.parametrize("fusion", ["reciprocal_rank", "weighted_scores"])
@pytest.mark.parametrize("depth", [3, COUNT])
def test_a_fused_ranking_is_the_literal_one(recipes: list[Recipe], groundtruth: Path, fusion: str, depth: int) -> None:
    scores = [scores_of(recipe, groundtruth) for recipe in recipes[:2]]
    own = own_of(groundtruth)
    orders = [fused_by_hand([each[q] for each in scores], fusion, depth, own[q]) for q in range(ASKED)]
    ranks = np.array([order.index(at) for at, order in enumerate(orders)])
    found = evaluate(groundtruth, recipe=recipes[0], also=recipes[1:2], fusion=fusion, depth=depth)
    assert found.metrics["mAP"] == pytest.approx((1 / (ranks + 1)).mean())
    assert found.metrics["recall@10"] == (ranks < 10).mean()
    assert (found.label, found.fusion) == (f"tiny + strong ({fusion})", fusion)


def test_three_recipes_one_of_which_stores_rows(recipes: list[Recipe], groundtruth: Path) -> None:
    scores = [scores_of(recipe, groundtruth) for recipe in recipes]
    own = own_of(groundtruth)
    orders = [fused_by_hand([each[q] for each in scores], "reciprocal_rank", 5, own[q]) for q in range(ASKED)]
    ranks = np.array([order.index(at) for at, order in enumerate(orders)])
    found = evaluate(groundtruth, recipe=recipes[0], also=recipes[1:], depth=5)
    assert found.metrics["mAP"] == pytest.approx((1 / (ranks + 1)).mean(), abs=0.01)  # rows are kept in half the bits
    assert found.label == "tiny + strong + parts (reciprocal_rank)"


def test_costs_are_sums_and_steps_are_counted_through(recipes: list[Recipe], groundtruth: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = evaluate(
        groundtruth,
        recipe=recipes[0],
        also=recipes[2:],
        cache=tmp_path,
        progress=lambda *step: steps.append(step),
    )
    alone = [evaluate(groundtruth, recipe=recipe, cache=tmp_path) for recipe in (recipes[0], recipes[2])]
    assert (found.dimension, found.passes) == (2 * CHANNELS, 1 + 5)
    assert found.bytes_per_image == sum(each.bytes_per_image for each in alone) == 6 * 4 * CHANNELS
    assert found.seconds_per_image == pytest.approx(sum(each.seconds_per_image for each in alone))
    assert found.seconds_describing == pytest.approx(sum(each.seconds_describing for each in alone))
    assert found.seconds_per_query == pytest.approx(found.seconds_describing + found.seconds_searching)
    assert found.seconds_searching > 0
    assert found.seconds_reranking == 0
    described = 2 * (COUNT + ASKED - 2)
    assert steps == [(done, described) for done in range(1, described + 1)]


def test_a_recipe_fused_with_itself_is_itself(recipes: list[Recipe], groundtruth: Path) -> None:
    plain = evaluate(groundtruth, recipe=recipes[0])
    for fusion in ("reciprocal_rank", "weighted_scores", "query_adaptive"):
        found = evaluate(groundtruth, recipe=recipes[0], also=[recipes[0]], fusion=fusion)
        assert all(math.isclose(found.metrics[name], value) for name, value in plain.metrics.items())


def test_a_fused_result_is_written_and_read(recipes: list[Recipe], groundtruth: Path) -> None:
    found = evaluate(groundtruth, recipe=recipes[0], also=recipes[1:2])
    table = found.as_dict()
    assert (table["recipe"], table["also"], table["fusion"]) == ("tiny", ["strong"], "reciprocal_rank")
    assert Evaluation.from_json(found.to_json(), recipes[0]) == found


def calibrated(recipe: Recipe, file: Path, *, bias: float, cosine: float) -> Recipe:
    """Return the recipe with local features, and a calibration by the cosine alone."""
    found = dataclasses.replace(recipe, features="sift")
    model = Calibration(bias, cosine, 0.0, 0.0, 0.0, 0.0, 0.4, 0.1, bias, cosine, 0.0, 0.0)
    save_fitted(file, [model], found, fit_record(found, "calibration", Describer(found).extractor.identity))
    return dataclasses.replace(found, calibration=str(file))


def test_probabilities_are_fused_where_all_recipes_have_a_calibration(
    recipes: list[Recipe], groundtruth: Path, tmp_path: Path
) -> None:
    models = [(-300.0, 303.0), (-3.0, 0.1)]
    both = [
        calibrated(recipe, tmp_path / f"{recipe.name}.npz", bias=bias, cosine=cosine)
        for recipe, (bias, cosine) in zip(recipes[:2], models, strict=True)
    ]
    scores = [scores_of(recipe, groundtruth).astype(np.float64) for recipe in recipes[:2]]
    odds = [bias + cosine * each for each, (bias, cosine) in zip(scores, models, strict=True)]
    means = np.mean([1 / (1 + np.exp(-each)) for each in odds], axis=0)
    own = own_of(groundtruth)
    orders = [literal_order(means[q].tolist(), own=own[q]) for q in range(ASKED)]
    ranks = np.array([order.index(at) for at, order in enumerate(orders)])
    found = evaluate(groundtruth, recipe=both[0], also=both[1:])
    assert (found.fusion, found.label) == ("mean_scores", "tiny + strong (mean_scores)")
    assert found.metrics["mAP"] == pytest.approx((1 / (ranks + 1)).mean(), abs=0.02)
    plain = evaluate(groundtruth, recipe=both[0], also=both[1:], rerank="none")
    assert plain.fusion == "reciprocal_rank"
    assert abs(plain.metrics["mAP"] - found.metrics["mAP"]) > 0.02
    assert evaluate(groundtruth, recipe=both[0], also=[recipes[1]]).fusion == "reciprocal_rank"


def test_invalid_fusions_are_refused_before_describing(
    recipes: list[Recipe], groundtruth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Describer, "stream", None)
    with pytest.raises(UsageError, match="rerank and also contradict each other; fused results are not re-ranked"):
        evaluate(groundtruth, recipe=recipes[0], also=recipes[1:], rerank="aqe")
    with pytest.raises(RecipeError, match="unknown fusion 'reciprocal'; did you mean 'reciprocal_rank'"):
        evaluate(groundtruth, recipe=recipes[0], also=recipes[1:], fusion="reciprocal")
    with pytest.raises(RecipeError, match="unknown recipe 'nowhere'"):
        evaluate(groundtruth, recipe=recipes[0], also=["nowhere"])
