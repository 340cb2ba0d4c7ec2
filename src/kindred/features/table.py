"""The table of local features, by name: what a recipe's `features` may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kindred.features.conv import conv
from kindred.features.local import LocalFeatures
from kindred.features.sift import sift

__all__ = ["FEATURES", "Features"]


@dataclass(frozen=True)
class Features:
    """One entry of FEATURES.

    function: what finds them, with the options `count` and others by name. summary: what they are, in a few
    words. source: who described them. needs: whether the function takes an "image" (H, W, 3) uint8 RGB, its
    points in pixels of that image, or the "map" of one (a `ConvMap`).
    """

    function: Callable[..., LocalFeatures]
    summary: str
    source: str
    needs: Literal["image", "map"]


FEATURES: dict[str, Features] = {
    "sift": Features(
        sift, "blobs in scale space, root of their gradient histograms", "Lowe 2004; Arandjelović 2012", "image"
    ),
    "conv": Features(
        conv, "strongest positions of the feature map, their channels", "Tolias, Jenicek and Chum 2020", "map"
    ),
}
