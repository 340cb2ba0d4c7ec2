"""The table of local features, by name: what a recipe's `features` may be.

SIFT is the one to verify with. On the DVD covers of Stanford Mobile Visual Search 150 keypoints of a reference
(20 KB) and 500 of a query find all 200 photos among the 100 references, with at least 13 inliers where the best wrong
cover has at most 12 and strange pictures 6; positions of a feature map find at most three photos in four, as they
do not turn or scale with the thing (`benchmarks/verification.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    points in pixels of that image, or the "map" of one (a `ConvMap`). kept, asked: the options for images that a
    library keeps, and for a query, which takes no room and may be looked at more closely.
    """

    function: Callable[..., LocalFeatures]
    summary: str
    source: str
    needs: Literal["image", "map"]
    kept: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


FEATURES: dict[str, Features] = {
    "sift": Features(
        sift,
        "blobs in scale space, root of their gradient histograms",
        "Lowe 2004; Arandjelović and Zisserman 2012",
        "image",
        kept={"count": 150, "longest": 320},
        asked={"count": 500, "longest": 480},
    ),
    "conv": Features(
        conv,
        "strongest positions of the feature map, their channels",
        "Tolias, Jenicek and Chum 2020",
        "map",
        kept={"count": 300},
        asked={"count": 300},
    ),
}
