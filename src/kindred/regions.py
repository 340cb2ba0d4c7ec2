"""Regions of a feature map: which boxes R-MAC looks at.

Boxes are (R, 4) int64, x0 y0 x1 y1 in cells of the map, half-open: x1 and y1 are the first cells outside.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError

__all__ = ["Boxes", "rmac_grid"]

Boxes = NDArray[np.int64]
"""(R, 4) int64: x0 y0 x1 y1 in cells of the map, half-open."""

OVERLAP = 0.4
"""How much of its width a region of the first level shares with the next, as nearly as whole steps allow."""

STEPS = range(2, 8)
"""How many regions of the first level may lie along the longer side."""


@lru_cache(maxsize=1024)
def rmac_grid(width: int, height: int, *, levels: int = 3) -> Boxes:
    """Return the square regions of R-MAC on a map of `width` × `height` cells; the array is read-only.

    Level l = 1 … `levels` has squares of side ⌊2·min(width, height) / (l + 1)⌋, spread evenly, with more of
    them along the longer side; rows of regions from top to bottom, each from left to right. Levels whose side
    is 0 on a tiny map are left out. There is no extra region for the whole map.

    This is the grid of the authors' code (Tolias, Sicre and Jégou 2016) in its own order of operations, in
    double precision: single precision, or simpler terms, choose other regions where two overlaps tie (9 × 5)
    or where a position falls on a whole number (63 × 4). Raises UsageError for sizes or levels below 1.
    """
    if min(width, height, levels) < 1:
        raise UsageError(f"got a {width} × {height} map and {levels} levels; expected at least 1 of each")
    shorter = min(width, height)
    extra = _extra_steps(width, height)
    boxes: list[tuple[int, int, int, int]] = []
    for level in range(1, levels + 1):
        side = floor(2 * shorter / (level + 1))
        if side == 0:
            break
        xs = _positions(width, side, level + (extra if width > height else 0))
        ys = _positions(height, side, level + (extra if height > width else 0))
        boxes += [(x, y, x + side, y + side) for y in ys for x in xs]
    grid = np.array(boxes, dtype=np.int64)
    grid.flags.writeable = False
    return grid


def _extra_steps(width: int, height: int) -> int:
    """Return how many more regions the longer side gets: the steps whose overlap is nearest to OVERLAP."""
    shorter = float(min(width, height))

    def miss(steps: int) -> float:
        stride = (max(width, height) - shorter) / (steps - 1)
        return abs((shorter**2 - shorter * stride) / shorter**2 - OVERLAP)

    return STEPS.index(min(STEPS, key=miss)) + 1  # of equal misses, min takes the first


def _positions(length: int, side: int, count: int) -> list[int]:
    """Return where `count` squares of `side` cells begin along `length` cells."""
    stride = (length - side) / (count - 1) if count > 1 else 0.0
    # Half a side added and taken away again: it is whole, yet it decides how the sum rounds before the floor.
    half = floor(side / 2 - 1)
    return [floor(half + k * stride) - half for k in range(count)]
