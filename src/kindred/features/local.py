"""Local features: points of an image, each with a descriptor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_positive
from kindred.errors import UsageError
from kindred.regions import Box

__all__ = ["NO_FEATURES", "ConvMap", "LocalFeatures"]


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """N points of one image with their descriptors; the strongest first.

    points: (N, 2) float32, x y in pixels of the upright original; the centre of its first pixel is (0.5, 0.5).
    descriptors: (N, D) uint8 or float32.
    scales: (N,) float32, the radius in pixels of the region that a descriptor covers.
    frame: the rectangle of the image that was searched for points; None if unknown.
    ratio: the threshold of the ratio test that suits the descriptors; 0 if unknown.
    passes: how many of the points come from each pass over the image, in order; empty for one pass. The first pass is
    of the upright image, at about the size at which images of a library are described.
    turns: by how many quarters, counter-clockwise, the image was turned for each pass; empty if for none.

    Raises UsageError if the lengths differ.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8] | NDArray[np.float32]
    scales: NDArray[np.float32]
    frame: Box | None = None
    ratio: float = 0.0
    passes: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.points)
        if self.points.shape != (count, 2) or self.descriptors.ndim != 2:
            raise UsageError(
                f"got points {self.points.shape} and descriptors {self.descriptors.shape}; expected (N, 2) and (N, D)"
            )
        if len(self.descriptors) != count or self.scales.shape != (count,):
            raise UsageError(
                f"got {count} points, {len(self.descriptors)} descriptors and scales {self.scales.shape}; "
                "expected as many of each"
            )
        if self.passes and (min(self.passes) < 0 or sum(self.passes) != count):
            raise UsageError(f"got {count} points of passes with {self.passes}; expected as many")
        if self.turns and len(self.turns) != max(1, len(self.passes)):
            raise UsageError(f"got {len(self.passes)} passes and {len(self.turns)} turns; expected one for each pass")

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def first(self, count: int) -> LocalFeatures:
        """Return the `count` strongest points, of the first pass, or all if there are fewer."""
        count = min(count, self.passes[0]) if self.passes else count
        return self._part(slice(count), (), self.turns[:1])

    @property
    def looks(self) -> tuple[LocalFeatures, ...]:
        """The features of the first pass, and those of all others together if there are others."""
        if len(self.passes) < 2:
            return (self,)
        end = self.passes[0]
        return self.first(end), self._part(slice(end, None), self.passes[1:], self.turns[1:])

    @property
    def by_pass(self) -> tuple[LocalFeatures, ...]:
        """The features of each pass, in order."""
        if not self.passes:
            return (self,)
        ends = np.cumsum(self.passes).tolist()
        each = zip(ends, self.passes, self.turns or (0,) * len(self.passes), strict=True)
        return tuple(self._part(slice(end - count, end), (), (turn,) if turn else ()) for end, count, turn in each)

    @property
    def extent(self) -> Box:
        """The frame, or the bounding box of the points if it is unknown."""
        if self.frame is not None:
            return self.frame
        (x0, y0), (x1, y1) = self.points.min(axis=0).tolist(), self.points.max(axis=0).tolist()
        return x0, y0, x1, y1

    def _part(self, place: slice, passes: tuple[int, ...], turns: tuple[int, ...]) -> LocalFeatures:
        """Return the points in a range."""
        parts = {"points": self.points[place], "descriptors": self.descriptors[place], "scales": self.scales[place]}
        return replace(self, **parts, passes=passes, turns=turns)  # type: ignore[arg-type]

    def scaled(self, x: float, y: float) -> LocalFeatures:
        """Return the features of the same image `x` times as wide and `y` times as high.

        From an image reduced to (w, h) back to its original (W, H) it is `scaled(W / w, H / h)`. Raises
        UsageError for factors that are not above 0.
        """
        check_positive(x=x, y=y)
        frame = None if self.frame is None else tuple(np.multiply(self.frame, (x, y, x, y)).tolist())
        return replace(
            self,
            points=self.points * np.array((x, y), np.float32),
            scales=self.scales * np.float32(sqrt(x * y)),
            frame=frame,
        )

    def moved(self, x: float, y: float) -> LocalFeatures:
        """Return the features with (x, y) pixels added: of a crop, in pixels of the image that it was cut from."""
        frame = None if self.frame is None else tuple(np.add(self.frame, (x, y, x, y)).tolist())
        return replace(self, points=self.points + np.array((x, y), np.float32), frame=frame)


NO_FEATURES = LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, 1), np.float32), np.empty(0, np.float32))
"""The features of an image that has none, or whose features are unknown."""


@dataclass(frozen=True, eq=False)
class ConvMap:
    """The feature map of one image, and its position in the image.

    values: (C, H, W) float. frame: the rectangle of the upright original that the cells divide evenly, in pixels; for
    a whole image of w × h pixels, (0, 0, w, h).

    Raises UsageError if the map has no cell or the frame no area.
    """

    values: NDArray[np.float32]
    frame: Box

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or 0 in self.values.shape:
            raise UsageError(f"got a map of shape {self.values.shape}; expected (C, H, W), at least one cell")
        x0, y0, x1, y1 = self.frame
        if not (x1 > x0 and y1 > y0):
            raise UsageError(f"got the frame {self.frame}; expected x0 y0 x1 y1 with x0 < x1 and y0 < y1")

    @property
    def cell(self) -> tuple[float, float]:
        """The width and height of a cell, in pixels of the original."""
        x0, y0, x1, y1 = self.frame
        return (x1 - x0) / self.values.shape[2], (y1 - y0) / self.values.shape[1]
