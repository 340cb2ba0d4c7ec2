"""Local features of an image as it is described: in place of a map's positions, and kept for verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.describer.views import Viewer
from kindred.errors import RecipeError
from kindred.features import FEATURES, ConvMap, LocalFeatures, sift
from kindred.hints import check_known, check_options, options_of
from kindred.images import Decoded, resize
from kindred.recipe import Recipe

__all__ = ["KeptFeatures", "check_features", "keypoints", "label"]

LONGEST_SIDE = max(max(each.indexed.get("longest", 0), each.query.get("longest", 0)) for each in FEATURES.values())
"""Pixels of the long side to which an image is decoded, where features are kept for verification."""


class KeptFeatures:
    """Finds the local features that a recipe keeps of an image; none where it keeps none."""

    def __init__(self, recipe: Recipe, viewer: Viewer | None = None) -> None:
        check_features(recipe)
        self._name, self._viewer = recipe.features, viewer

    @property
    def longest(self) -> int:
        """How many pixels of the long side they are found in; 0 where none are."""
        return LONGEST_SIDE if self._name else 0

    def of(self, decoded: Decoded, *, is_query: bool) -> LocalFeatures | None:
        """Return the features of an image, or of a query (`is_query`), their points in pixels of the original."""
        if not self._name:
            return None
        entry = FEATURES[self._name]
        options = entry.query if is_query else entry.indexed
        if entry.needs == "image":
            return _to_original(entry.function(decoded.pixels, **options), decoded.pixels, decoded)
        assert self._viewer is not None
        (maps, *_) = self._viewer.engine.run(self._viewer.sized(decoded.pixels)[None])
        whole = (0.0, 0.0, float(decoded.width), float(decoded.height))
        return entry.function(ConvMap(maps[0], whole), **options)


def keypoints(recipe: Recipe, decoded: Decoded) -> LocalFeatures:
    """Return the keypoints that stand in for a map's positions; the detector's options are the passes' options."""
    options: Any = dict(recipe.passes_options)
    if recipe.positions:
        options["count"] = recipe.positions
    pixels = resize(decoded.pixels, longest=recipe.size, enlarge=True) if recipe.enlarge else decoded.pixels
    return _to_original(sift(pixels, longest=recipe.size, **options), pixels, decoded)


def check_features(recipe: Recipe) -> None:
    """Raise `RecipeError` where the recipe keeps features that there are not, or that need a map it has not."""
    if recipe.features:
        check_known("features", recipe.features, FEATURES, error=RecipeError, where=f"recipe {recipe.name!r}")
    if recipe.features and FEATURES[recipe.features].needs == "map" and recipe.backbone in FEATURES:
        raise RecipeError(
            f"recipe {recipe.name!r}: features {recipe.features!r} come from a network's map, which "
            f"{recipe.backbone!r} has none of"
        )


def check_keypoint_options(recipe: Recipe) -> None:
    """Raise `RecipeError` for an option that the detector of keypoints does not have."""
    usual = options_of(sift, without=("longest", "count"))
    owner = f"recipe {recipe.name!r}: passes_options of {recipe.backbone}"
    check_options(owner, recipe.passes_options, usual, error=RecipeError)


def label(image: object) -> str:
    """Return what errors call an image."""
    return str(image) if isinstance(image, str | Path) else f"<{type(image).__name__}>"


def _to_original(features: LocalFeatures, pixels: NDArray[np.uint8], decoded: Decoded) -> LocalFeatures:
    height, width = pixels.shape[:2]
    return features.scaled(decoded.width / width, decoded.height / height)
