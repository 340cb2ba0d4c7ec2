"""What a recipe with a code is measured by: its codes alone, and their bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.describer import Describer, fit_recipe
from kindred.evaluation import evaluate
from kindred.recipe import Recipe
from literal_orders import literal_order
from pictures import make_folder
from tiny_model import CHANNELS, home, make_recipe

COUNT, BITS = 24, 10


@pytest.fixture(scope="module", autouse=True)
def coded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        make_folder(folder / "others", 40, first=500)
        others = sorted((folder / "others").iterdir())
        fit_recipe(make_recipe(folder), others, whiten=False, code="itq", bits=BITS).save(folder / "coded.toml")
        yield Recipe.load(folder / "coded.toml")


@pytest.fixture(scope="module")
def groundtruth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of some other pictures looks for a picture of the same number."""
    folder = tmp_path_factory.mktemp("images")
    make_folder(folder / "db", COUNT)
    make_folder(folder / "asked", 8, first=300)
    database = sorted(f"db/{path.name}" for path in (folder / "db").iterdir())
    asked = sorted(f"asked/{path.name}" for path in (folder / "asked").iterdir())
    queries = {name: {"relevant": [database[at]]} for at, name in enumerate(asked)}
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "numbers", "database": database, "queries": queries}))
    return file


def test_the_database_is_ranked_by_codes(coded: Recipe, groundtruth: Path) -> None:
    describer = Describer(coded)
    code = describer.fitted.codes
    assert code is not None
    database = describer.describe(sorted((groundtruth.parent / "db").iterdir()))
    queries = describer.describe(sorted((groundtruth.parent / "asked").iterdir()))
    bits = [np.unpackbits(code.encode(rows), axis=1)[:, :BITS].astype(int) for rows in (queries, database)]
    distances = (bits[0][:, None] != bits[1][None]).sum(axis=2)
    ranks = np.array([literal_order((-row).tolist()).index(at) for at, row in enumerate(distances)])
    by_position = np.argsort(distances, axis=1, kind="stable")
    assert [int(np.flatnonzero(order == at)[0]) for at, order in enumerate(by_position)] != ranks.tolist()
    found = evaluate(groundtruth, recipe=coded)
    assert found.metrics["mAP"] == pytest.approx((1 / (ranks + 1)).mean())
    assert found.metrics["recall@1"] == (ranks == 0).mean()
    assert (found.bytes_per_image, found.dimension) == (2, CHANNELS)
    plain = evaluate(groundtruth, recipe=dataclasses.replace(coded, code=""))
    assert plain.bytes_per_image == 4 * CHANNELS
    assert plain.metrics["mAP"] != found.metrics["mAP"]


def test_vectors_needed_by_rerankers_count_as_stored_bytes(coded: Recipe, groundtruth: Path) -> None:
    found = evaluate(groundtruth, recipe=coded, rerank="aqe:n=2", depth=COUNT)
    assert found.bytes_per_image == 4 * CHANNELS
