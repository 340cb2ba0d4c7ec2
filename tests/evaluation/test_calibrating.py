"""Calibrating a recipe on sets with ground truth: labels, folds, and what the calibration is valid for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.describer import Describer
from kindred.errors import RecipeError, UsageError
from kindred.evaluation import calibrate, evaluate
from kindred.evaluation.calibrating import labelled_candidates
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.evaluate import Bench
from kindred.evaluation.files import Files
from kindred.features import FEATURES
from kindred.recipe import Recipe
from tiny_model import home, make_recipe

pytest.importorskip("cv2")
pytest.importorskip("scipy")
COUNT = 10


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    """A recipe whose vectors say next to nothing, beside SIFT keypoints."""
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield replace(make_recipe(folder), name="blind", size=32, features="sift")


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ground truth: rich pictures, and each of them turned by a quarter as a query."""
    folder = tmp_path_factory.mktemp("turned")
    queries = {}
    for number in range(COUNT):
        tiles = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        picture = Image.fromarray(tiles).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:02}.png")
        picture.rotate(90, expand=True).save(folder / f"turned-{number:02}.png")
        queries[f"turned-{number:02}.png"] = {"relevant": [f"{number:02}.png"], "junk": [], "box": None}
    database = [f"{number:02}.png" for number in range(COUNT)]
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "turned", "database": database, "queries": queries}))
    return file


def test_each_query_counts_with_its_relevant_images_and_without(blind: Recipe, turned: Path) -> None:
    truth = read_dataset(turned)
    found = labelled_candidates(Bench(truth, Files.of(truth), blind))
    assert len(found) == 2 * COUNT
    assert found.same.sum() == COUNT
    assert len(found.evidence) == COUNT * COUNT + COUNT * (COUNT - 1)
    assert found.evidence.inliers[found.same].min() > 12
    assert found.evidence.inliers[~found.same].max() < 8
    # Without the relevant image another one is the best by cosine.
    for number in range(COUNT):
        alone = found.queries == 2 * number + 1
        assert found.evidence.best[alone] == pytest.approx(found.evidence.cosines[alone].max())


def test_a_set_is_divided_for_cross_validation_and_its_images_are_told_apart(
    blind: Recipe, turned: Path, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    found = calibrate([turned], recipe=blind, progress=lambda done, total: steps.append((done, total)))
    assert found.images == 2 * COUNT
    assert steps[-1] == (3 * COUNT, 3 * COUNT)
    assert [fold.name for fold in found.folds] == [f"turned, part {part}" for part in range(1, 6)]
    assert [fold.recall for fold in found.folds] == [1.0] * 5
    assert found.reliability.error < 0.1
    found.fitted.save(tmp_path / "mine.toml")
    mine = Recipe.load(tmp_path / "mine.toml")
    metrics = evaluate(turned, recipe=mine).metrics
    assert metrics["recall@1"] == metrics["no-answer recall"] == 1.0
    assert metrics["right results lost"] == 0.0
    assert evaluate(turned, recipe=mine, rerank="none").metrics["recall@1"] < 0.8


def test_a_calibration_is_of_the_options_of_its_keypoints(
    blind: Recipe, turned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate([turned], recipe=blind, limit=5).fitted.save(tmp_path / "mine.toml")
    mine = Recipe.load(tmp_path / "mine.toml")
    Describer(mine)
    entry = FEATURES["sift"]
    monkeypatch.setitem(FEATURES, "sift", replace(entry, query={**entry.query, "count": 400}))
    with pytest.raises(RecipeError, match=r"its calibration .* differs: features\.query {'count': 500, .*count': 400"):
        Describer(mine)


def test_what_cannot_be_calibrated(blind: Recipe, turned: Path) -> None:
    with pytest.raises(RecipeError, match="stores no local features to verify"):
        calibrate([turned], recipe=replace(blind, features=""))
    with pytest.raises(UsageError, match="needs a ground truth"):
        calibrate([], recipe=blind)
