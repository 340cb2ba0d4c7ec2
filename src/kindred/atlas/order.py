"""The order of the images of a map: an overview first, then finer ones, each along a curve through the plane.

Sheets of thumbnails follow this order, so that few sheets show any part of the map at any scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.atlas.positions import Points

__all__ = ["hilbert_order", "overview_first"]

Order = NDArray[np.int64]

BITS = 16
"""Hilbert's curve passes through 65,536 × 65,536 cells."""
OVERVIEW = 4096
"""Most images of the overview; each finer one has at most four times as many."""
COARSEST, FINEST = 8, 4096
"""Cells along a side of the grids from which overviews are chosen."""


def overview_first(points: Points) -> Order:
    """Return an order (n,) of points (n, 2) of the unit square: some thousand spread evenly, then ever more of them.

    An overview has at most one image of each cell of a grid, the finest grid with no more such images than it may have;
    each is ordered along Hilbert's curve.
    """
    order = hilbert_order(points)
    taken = np.zeros(len(points), bool)
    tiers: list[Order] = []
    most = OVERVIEW
    while not taken.all():
        rest = order[~taken[order]]
        chosen = rest if len(rest) <= most else _spread(points, taken, rest, most)
        tiers.append(chosen)
        taken[chosen] = True
        most *= 4
    return np.concatenate(tiers) if tiers else order


def _spread(points: Points, taken: NDArray[np.bool_], rest: Order, most: int) -> Order:
    """Return at most `most` of the points `rest`, at most one in each cell of a grid without a point that is taken."""
    best = rest[:: -(-len(rest) // most)]  # where a single cell of the finest grid holds too many
    for side in np.geomspace(COARSEST, FINEST, 19):
        cells = _cells(points, float(side))
        free = rest[~np.isin(cells[rest], cells[taken])]
        _, first = np.unique(cells[free], return_index=True)
        if len(first) > most:
            break
        if len(first):
            best = free[np.sort(first)]
    return best


def _cells(points: Points, side: float) -> Order:
    """Return the cell (n,) of each point in a grid of `side` × `side` cells."""
    columns = int(np.ceil(side)) + 1
    x, y = np.floor(points.astype(np.float64).T * side).astype(np.int64)
    cells: Order = x + columns * y
    return cells


def hilbert_order(points: Points) -> Order:
    """Return the order (n,) of points (n, 2) of the unit square on Hilbert's curve.

    Neighbours in the order are neighbours in the plane; points in the same cell keep their order. Source: Hilbert 1891.
    """
    last = (1 << BITS) - 1
    x, y = (np.clip(axis * last, 0, last).astype(np.int64) for axis in points.astype(np.float64).T)
    along = np.zeros(len(points), np.int64)
    for bit in range(BITS - 1, -1, -1):
        right, up = x >> bit & 1, y >> bit & 1
        along = along << 2 | (3 * right ^ up)
        turned, mirrored = up == 0, (up == 0) & (right == 1)
        x, y = np.where(mirrored, last - x, x), np.where(mirrored, last - y, y)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return np.argsort(along, kind="stable")
