"""Local features of an image: keypoints to be embedded, and features stored for geometric verification."""

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

__all__ = ["LocalFeatureExtractor", "check_features", "keypoints", "label"]

LONGEST_SIDE = max(max(each.indexed.get("longest", 0), each.query.get("longest", 0)) for each in FEATURES.values())
"""The longer side, in pixels, to which an image is decoded if features are stored for geometric verification."""


class LocalFeatureExtractor:
    """Extracts the local features that a recipe stores for geometric verification; None if it stores none."""

    def __init__(self, recipe: Recipe, viewer: Viewer | None = None) -> None:
        self._entry = check_features(recipe)
        self._name, self._viewer = recipe.features, viewer

    @property
    def longest(self) -> int:
        """The longer side of the image they are extracted from, in pixels; 0 if none are extracted."""
        return LONGEST_SIDE if self._name else 0

    def extract(self, decoded: Decoded, *, is_query: bool, first_look: bool = True) -> LocalFeatures | None:
        """Return the features of a database image or of a query (`is_query`), points in pixels of the original.

        first_look: false for a query whose first look is the description pass (`of_pass`); None if it is the only one.
        """
        entry = self._entry
        if entry is None:
            return None
        options = entry.query if is_query else entry.indexed
        if not first_look:
            if not options.get("upright"):
                return None
            options = {**options, "upright": 0}
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
        """The network of the local head, run separately from the backbone."""
        return LocalNetwork(self._name)

    def of_pass(
        self,
        maps: Sequence[NDArray[np.float32]],
        card: Card,
        *,
        view: tuple[int, int],
        whole: tuple[int, int],
        is_query: bool = False,
    ) -> LocalFeatures:
        """Return the features of an image from the maps of `shared_taps` of its description pass.

        view, whole: width and height in pixels of the network's input and of the original.
        """
        assert self._entry is not None
        options = self._entry.query if is_query else self._entry.indexed
        found = features_from_maps(maps, local_head(card), size=view, count=options["count"])
        return found.scaled(whole[0] / view[0], whole[1] / view[1])


def shared_taps(recipe: Recipe, card: Card) -> tuple[str, ...]:
    """Return the taps of the backbone from which the stored features are extracted in the description pass.

    Empty if the features are of another kind or another network, or if no pass contains the whole undistorted image.
    """
    entry = check_features(recipe)
    if entry is None or entry.needs != "network" or load_card(recipe.features)[0].digest != card.digest:
        return ()
    head, taps = local_head(card), local_taps(card)
    compatible = bool(head.descriptors) and head.multiple == 1 and head.precision == "auto"
    has_whole = recipe.passes_options.get("whole", True) is True and recipe.scales[0] == 1.0
    free = not set(taps) & set(recipe.taps) and recipe.shape != "stretch"
    return taps if compatible and has_whole and free else ()


def keypoints(recipe: Recipe, decoded: Decoded) -> LocalFeatures:
    """Return the keypoints to be embedded; the recipe's `passes_options` are the options of the detector."""
    options: Any = dict(recipe.passes_options)
    if recipe.positions:
        options["count"] = recipe.positions
    small = recipe.enlarge and max(decoded.pixels.shape) < recipe.size  # a larger one is reduced by the detector
    pixels = resize(decoded.pixels, longest=recipe.size, enlarge=True) if small else decoded.pixels
    return _to_original(sift(pixels, longest=recipe.size, **options), pixels, decoded)


def check_features(recipe: Recipe) -> Features | None:
    """Return the entry of the recipe's `features`, None if it stores none.

    Raises `RecipeError` if they are unknown, or need a feature map without a network, `ModelError` if they need a
    network that cannot be used.
    """
    if not recipe.features:
        return None
    entry = find_features(recipe.features)
    if entry is None:
        check_known("features", recipe.features, FEATURES, error=RecipeError, where=f"recipe {recipe.name!r}")
    assert entry is not None
    if entry.needs == "map" and recipe.backbone in FEATURES and FEATURES[recipe.backbone].needs == "image":
        raise RecipeError(
            f"recipe {recipe.name!r}: features {recipe.features!r} come from the feature map of a network, and "
            f"backbone {recipe.backbone!r} has no feature map"
        )
    return entry


def check_keypoint_options(recipe: Recipe) -> None:
    """Raise `RecipeError` for an unknown option of the keypoint detector."""
    usual = options_of(sift, without=("longest", "count"))
    owner = f"recipe {recipe.name!r}: passes_options of {recipe.backbone}"
    check_options(owner, recipe.passes_options, usual, error=RecipeError)


def label(image: object) -> str:
    """Return the name of an image for error messages."""
    return str(image) if isinstance(image, str | Path) else f"<{type(image).__name__}>"


def _to_original(features: LocalFeatures, pixels: NDArray[np.uint8], decoded: Decoded) -> LocalFeatures:
    height, width = pixels.shape[:2]
    return features.scaled(decoded.width / width, decoded.height / height)
