"""Local features of an image as it is described: in place of a map's positions, and kept for verification."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.backbones import Card, load_card
from kindred.describer.views import Viewer
from kindred.errors import RecipeError
from kindred.features import FEATURES, ConvMap, Features, LocalFeatures, LocalNetwork, find_features, sift
from kindred.features.network import features_from_maps, local_head, local_taps
from kindred.hints import check_known, check_options, options_of
from kindred.images import Decoded, resize
from kindred.recipe import Recipe

__all__ = ["KeptFeatures", "check_features", "keypoints", "label"]

LONGEST_SIDE = max(max(each.indexed.get("longest", 0), each.query.get("longest", 0)) for each in FEATURES.values())
"""Pixels of the long side to which an image is decoded, where features are kept for verification."""


class KeptFeatures:
    """Finds the local features that a recipe keeps of an image; none where it keeps none."""

    def __init__(self, recipe: Recipe, viewer: Viewer | None = None) -> None:
        self._entry = check_features(recipe)
        self._name, self._viewer = recipe.features, viewer

    @property
    def longest(self) -> int:
        """How many pixels of the long side they are found in; 0 where none are."""
        return LONGEST_SIDE if self._name else 0

    def of(self, decoded: Decoded, *, is_query: bool) -> LocalFeatures | None:
        """Return the features of an image, or of a query (`is_query`), their points in pixels of the original."""
        entry = self._entry
        if entry is None:
            return None
        options = entry.query if is_query else entry.indexed
        if entry.needs == "network":
            return _to_original(self._network.find(decoded.pixels, **options), decoded.pixels, decoded)
        if entry.needs == "image":
            return _to_original(entry.function(decoded.pixels, **options), decoded.pixels, decoded)
        assert self._viewer is not None
        (maps, *_) = self._viewer.engine.run(self._viewer.sized(decoded.pixels)[None])
        whole = (0.0, 0.0, float(decoded.width), float(decoded.height))
        return entry.function(ConvMap(maps[0], whole), **options)

    @cached_property
    def _network(self) -> LocalNetwork:
        """The network with a local head, run for its features alone."""
        return LocalNetwork(self._name)

    def of_pass(
        self, maps: Sequence[NDArray[np.float32]], card: Card, *, view: tuple[int, int], whole: tuple[int, int]
    ) -> LocalFeatures:
        """Return the features of an image by the maps of `shared_taps` in the pass that describes it.

        view, whole: width and height of what the network was given and of the original, in pixels.
        """
        assert self._entry is not None
        found = features_from_maps(maps, local_head(card), size=view, count=self._entry.indexed["count"])
        return found.scaled(whole[0] / view[0], whole[1] / view[1])


def shared_taps(recipe: Recipe, card: Card) -> tuple[str, ...]:
    """Return the taps of the recipe's network from which the stored features come, in the pass that describes an image.

    None where the features are of another kind or another network, or where no pass sees the image as it is.
    """
    entry = check_features(recipe)
    if entry is None or entry.needs != "network" or load_card(recipe.features)[0].digest != card.digest:
        return ()
    head, taps = local_head(card), local_taps(card)
    alike = bool(head.descriptors) and head.multiple == 1 and head.precision == "auto"
    sees_whole = recipe.passes_options.get("whole", True) is True and recipe.scales[0] == 1.0
    free = not set(taps) & set(recipe.taps) and recipe.shape != "stretch"
    return taps if alike and sees_whole and free else ()


def keypoints(recipe: Recipe, decoded: Decoded) -> LocalFeatures:
    """Return the keypoints that stand in for a map's positions; the detector's options are the passes' options."""
    options: Any = dict(recipe.passes_options)
    if recipe.positions:
        options["count"] = recipe.positions
    pixels = resize(decoded.pixels, longest=recipe.size, enlarge=True) if recipe.enlarge else decoded.pixels
    return _to_original(sift(pixels, longest=recipe.size, **options), pixels, decoded)


def check_features(recipe: Recipe) -> Features | None:
    """Return what a recipe keeps, None for nothing.

    Raises `RecipeError` where there are no such features, or where they need a map that the recipe has not,
    `ModelError` where they need a network that cannot be used.
    """
    if not recipe.features:
        return None
    entry = find_features(recipe.features)
    if entry is None:
        check_known("features", recipe.features, FEATURES, error=RecipeError, where=f"recipe {recipe.name!r}")
    assert entry is not None
    if entry.needs == "map" and recipe.backbone in FEATURES:
        raise RecipeError(
            f"recipe {recipe.name!r}: features {recipe.features!r} come from a network's map, which "
            f"{recipe.backbone!r} has none of"
        )
    return entry


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
