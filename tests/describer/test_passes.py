"""Multiple passes, several taps and multi-vector recipes, checked against their definitions pass by pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.backbones import load
from kindred.describer import Describer, FittedParameters
from kindred.describer.network import NetworkExtractor
from kindred.errors import RecipeError, UsageError
from kindred.images import decode
from kindred.pooling import gem, rmac_regions
from kindred.recipe import Recipe
from kindred.regions import rmac_grid
from kindred.whitening import PCAWhitening

BF16 = 0.015  # what half precision and another order of sums may move in a unit vector


def passes_of(describer: Describer, path: Path) -> NDArray[np.float32]:
    """The unit GeM vector of every view of an image, one pass at a time."""
    source = describer.extractor
    assert isinstance(source, NetworkExtractor)
    views = source.viewer.views(decode(path))
    return np.stack([l2_normalise(gem(source.engine.run(view.pixels[None])[0]))[0] for view in views])


@pytest.mark.parametrize(
    "keys",
    [
        {"passes": "grid", "passes_options": {"cells": 2}},
        {"passes": "dense", "passes_options": {"sizes": [0.5], "stride": 0.5, "side": 32}},
        {"passes": "proposals", "passes_options": {"count": 3}},
        {"scales": [1.0, 0.5], "flip": True},
    ],
    ids=["grid", "dense", "proposals", "scales"],
)
@pytest.mark.parametrize("aggregate", ["sum", "max"])
def test_passes_are_aggregated_as_defined(
    tiny: Recipe, pictures_folder: list[Path], keys: dict[str, object], aggregate: str
) -> None:
    describer = Describer(dataclasses.replace(tiny, aggregate=aggregate, **keys))  # type: ignore[arg-type]
    together = describer.describe(pictures_folder)
    combine = np.sum if aggregate == "sum" else np.max
    literal = [combine(passes_of(describer, path), axis=0) for path in pictures_folder]
    assert np.abs(together - l2_normalise(np.stack(literal))).max() < BF16
    counts = [len(passes_of(describer, path)) for path in pictures_folder]
    assert describer.passes == pytest.approx(np.mean(counts))


def test_each_pass_is_whitened_before_the_sum_and_the_maximum_after(tiny: Recipe, pictures_folder: list[Path]) -> None:
    grid = dataclasses.replace(tiny, passes="grid", passes_options={"cells": 2})
    rows = np.concatenate([passes_of(Describer(grid), path) for path in pictures_folder])
    fitted = FittedParameters(whitenings=(PCAWhitening.fit(rows, dimension=8),))
    white = fitted.whitenings[0]
    for aggregate in ("sum", "max"):
        describer = Describer(dataclasses.replace(grid, aggregate=aggregate), fitted=fitted)
        for path in pictures_folder[:4]:
            passes = passes_of(describer, path)
            if aggregate == "sum":
                expected = l2_normalise(white.transform(passes).sum(axis=0))
            else:
                expected = white.transform(l2_normalise(passes.max(axis=0))[None])[0]
            assert np.abs(describer.describe(path)[0] - expected).max() < 3 * BF16


def test_taps_are_normalised_weighted_and_concatenated(tiny: Recipe, pictures_folder: list[Path]) -> None:
    describer = Describer(dataclasses.replace(tiny, taps=("shallow", "deep"), tap_weights=(1.0, 3.0)))
    assert describer.dimension == 48
    rows = describer.describe(pictures_folder)
    for tap, slot, weight in (("shallow", slice(0, 16), 1.0), ("deep", slice(16, 48), 3.0)):
        alone = Describer(dataclasses.replace(tiny, taps=(tap,))).describe(pictures_folder)
        assert np.abs(rows[:, slot] - np.sqrt(weight / 4) * alone).max() < BF16
    swapped = Describer(dataclasses.replace(tiny, taps=("deep", "shallow"), tap_weights=(3.0, 1.0)))
    assert np.abs(swapped.describe(pictures_folder[0])[0, :32] - rows[0, 16:]).max() < BF16


def test_passes_of_a_multi_vector_recipe_are_rows_with_boxes(tiny: Recipe, pictures_folder: list[Path]) -> None:
    describer = Describer(
        dataclasses.replace(tiny, passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    )
    (described,) = describer.stream([("x", pictures_folder[2])])
    assert described.vectors is not None
    assert described.boxes is not None
    assert described.vectors.shape == (5, 32)
    assert np.isnan(described.boxes[0]).all()
    assert described.boxes[1:].tolist() == [[0, 0, 48, 20], [48, 0, 96, 20], [0, 20, 48, 40], [48, 20, 96, 40]]
    assert np.abs(described.vectors - passes_of(describer, pictures_folder[2])).max() < BF16
    assert np.abs(describer.describe(pictures_folder[2]) - described.vectors[:1]).max() < BF16
    parts = describer.image_rows(pictures_folder[2])
    assert parts.owners.tolist() == [0] * 5


def test_rmac_regions_of_a_multi_vector_recipe_have_the_boxes_of_their_cells(
    tiny: Recipe, pictures_folder: list[Path]
) -> None:
    describer = Describer(dataclasses.replace(tiny, pooling="rmac", aggregate="multi_vector", taps=("shallow",)))
    (described,) = describer.stream([("x", pictures_folder[0])])  # 64 × 48: a map of 16 × 12
    assert described.boxes is not None
    assert described.vectors is not None
    assert np.array_equal(described.boxes, 4 * rmac_grid(16, 12))
    (maps,) = load(tiny.backbone, taps=("shallow",)).run(decode(pictures_folder[0]).pixels[None])
    assert np.abs(described.vectors - l2_normalise(rmac_regions(maps))[0]).max() < BF16


def test_the_power_law_comes_before_normalisation(tiny: Recipe, pictures_folder: list[Path]) -> None:
    plain = Describer(dataclasses.replace(tiny, pooling="sum")).describe(pictures_folder)
    powered = Describer(dataclasses.replace(tiny, pooling="sum", power_law=0.5)).describe(pictures_folder)
    assert np.abs(powered - l2_normalise(np.sqrt(plain))).max() < BF16


def test_cam_needs_a_classifier(tiny: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"needs a classifier, and tiny has none"):
        Describer(dataclasses.replace(tiny, pooling="cam"))


def test_unknown_aggregates_are_refused(tiny: Recipe) -> None:
    with pytest.raises(RecipeError, match="unknown aggregate 'sun'; did you mean 'sum'"):
        Describer(dataclasses.replace(tiny, aggregate="sun"))
    with pytest.raises(RecipeError, match='expected aggregate = "multi_vector"'):
        Describer(dataclasses.replace(tiny, matching="patches"))
    with pytest.raises(RecipeError, match="unknown matching 'patchs'"):
        Describer(dataclasses.replace(tiny, aggregate="multi_vector", matching="patchs"))


def test_describe_refuses_a_recipe_of_several_rows_per_image(tiny: Recipe, pictures_folder: list[Path]) -> None:
    from kindred.describer import fit_recipe

    fitted = fit_recipe(
        dataclasses.replace(tiny, embedding="asmk", taps=("shallow",)), pictures_folder, words=4, whiten=False
    )
    describer = Describer(fitted.recipe, fitted=fitted.fitted)
    with pytest.raises(UsageError, match="describes an image by several rows; call image_rows instead"):
        describer.describe(pictures_folder[0])
    parts = describer.image_rows(pictures_folder[0])
    assert parts.words is not None
    assert (np.diff(parts.words) > 0).all()
    assert len(parts.words) == len(parts.rows) <= 4
