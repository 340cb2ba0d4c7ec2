"""Local features survive the cache of an evaluation: their passes, their ratio, and queries apart from the database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.describer import Describer
from kindred.evaluation.describing import DescribingTask
from kindred.features import FEATURES
from kindred.recipe import Recipe
from pictures import save_picture
from tiny_local import make_local_model
from tiny_model import home


def test_features_of_queries_and_of_the_database_are_cached_apart(tmp_path: Path) -> None:
    parts = [(save_picture(tmp_path / f"{number}.png", number, width=128, height=96), None) for number in range(3)]
    with home(tmp_path / "home"):
        model = str(make_local_model(tmp_path))
        describer = Describer(Recipe(name="eyes", backbone=model, size=96, features=model))
        task = DescribingTask(describer, cache=tmp_path / "cache")
        queries, database = task.describe(parts, is_query=True), task.describe(parts)
        again = task.describe(parts, is_query=True)
    assert queries.features is not None
    assert database.features is not None
    assert again.features is not None
    for query, cached, image in zip(queries.features, again.features, database.features, strict=True):
        assert len(query) > len(image) > 0
        assert len(query.passes) >= 4
        assert cached.passes == query.passes
        assert cached.ratio == query.ratio == 0.95
        assert np.array_equal(cached.descriptors, query.descriptors)


def test_other_options_of_keypoints_are_not_answered_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [(save_picture(tmp_path / "0.png", 0, width=128, height=96), None)]
    describer = Describer(Recipe(name="sift", backbone="kin", size=96, features="sift"))
    task = DescribingTask(describer)
    before = task.key(parts), task.key(parts, is_query=True)
    entry = FEATURES["sift"]
    for changed in (
        replace(entry, indexed={**entry.indexed, "count": 151}),
        replace(entry, query={**entry.query, "longest": 481}),
        replace(entry, bits=4),
    ):
        monkeypatch.setitem(FEATURES, "sift", changed)
        assert not set(before) & {task.key(parts), task.key(parts, is_query=True)}
