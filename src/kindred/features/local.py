"""Local features: points of an image, each with a descriptor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError

__all__ = ["LocalFeatures"]


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """N points of one image with their descriptors; the strongest first.

    points: (N, 2) float32, x y in pixels of the upright original image.
    descriptors: (N, D) uint8 or float32.
    scales: (N,) float32, the radius in pixels of what a descriptor sees.

    Raises UsageError where the lengths differ.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8] | NDArray[np.float32]
    scales: NDArray[np.float32]

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

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)
