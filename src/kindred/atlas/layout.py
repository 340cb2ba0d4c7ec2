"""Layout: a cell of a grid for every thumbnail, as near as possible to its point on the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILLED", "Layout", "lay_out"]

FILLED = 0.6
"""Fraction of the cells with a thumbnail: with less white space thumbnails are larger and shapes less clear."""
RANK_SHARE = 0.5
"""Weight of the rank of a coordinate, against the coordinate itself: spreads dense regions, but keeps them visible."""
MOST_ELONGATED = 1.5
"""Width to height of a map, or the other way round, at most."""
ROUNDS = 200

Cells = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """A grid of `columns` × `rows` square cells, and the cell (n, 2) of each image: column, row from the top."""

    columns: int
    rows: int
    cells: Cells


def lay_out(points: NDArray[np.floating[Any]]) -> Layout:
    """Give each of the points (n, 2) a cell of its own.

    Positions are the mean of coordinates and their ranks, which spreads dense regions. Points are assigned the free
    cell nearest to their position, the farthest from the centre first; then neighbouring cells are swapped as long as
    that reduces the sum of squared distances of thumbnails from their positions.
    """
    places = _places(points)
    cells = len(points) / FILLED
    columns = max(1, round((cells * _aspect(points)) ** 0.5))
    rows = max(1, int(np.ceil(cells / columns)))
    wanted = places * (columns, rows) - 0.5
    grid = _assign_cells(wanted, columns, rows)
    _swap_neighbours(grid, wanted)
    row, column = np.nonzero(grid >= 0)
    found = np.empty((len(points), 2), np.int64)
    found[grid[row, column]] = np.stack([column, row], axis=1)
    return Layout(columns, rows, found)


def _places(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the positions of points (n, 2) in the unit square, the second axis pointing up as in a plot."""
    places = np.empty(points.shape)
    for axis, values in enumerate(points.astype(np.float64).T):
        low, span = values.min(), np.ptp(values)
        share = (values - low) / span if span > 0 else np.full(len(values), 0.5)
        order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        rank = (order + 0.5) / len(values) if span > 0 else share
        places[:, axis] = (1 - RANK_SHARE) * share + RANK_SHARE * rank
    places[:, 1] = 1 - places[:, 1]
    return places


def _aspect(points: NDArray[np.floating[Any]]) -> float:
    """Return the aspect ratio of the map: that of the standard deviations of the points, within bounds."""
    across, down = (float(values.std()) for values in points.T)
    return float(np.clip(across / down if down > 0 else np.inf, 1 / MOST_ELONGATED, MOST_ELONGATED))


def _assign_cells(wanted: NDArray[np.float64], columns: int, rows: int) -> Cells:
    """Return a grid (rows, columns) with the number of the point in each cell, −1 for an empty cell."""
    y, x = (axis.ravel().astype(np.float64) for axis in np.mgrid[:rows, :columns])
    grid = np.full(rows * columns, -1)
    middle = wanted.mean(axis=0)
    for number in np.argsort(-((wanted - middle) ** 2).sum(axis=1), kind="stable").tolist():
        column, row = wanted[number]
        cell = int(((x - column) ** 2 + (y - row) ** 2).argmin())
        grid[cell] = number
        x[cell] = np.inf  # taken
    return grid.reshape(rows, columns)


def _swap_neighbours(grid: Cells, wanted: NDArray[np.float64]) -> None:
    """Swap the contents of neighbouring cells, in place, wherever that reduces the sum of squared distances."""
    wanted = np.vstack([wanted, np.zeros(2)])  # the last one is for empty cells, whose distance counts 0
    for _ in range(ROUNDS):
        gained = 0
        for turned, start in ((False, 0), (False, 1), (True, 0), (True, 1)):
            view = grid.T if turned else grid
            gained += _swap_pairs(view, wanted[:, ::-1] if turned else wanted, start)
        if not gained:
            return


def _swap_pairs(grid: Cells, wanted: NDArray[np.float64], start: int) -> int:
    """Swap within pairs of adjacent cells, the first pair at column `start`; return the number of swaps."""
    pairs = (grid.shape[1] - start) // 2
    left, right = (grid[:, start + side : start + 2 * pairs : 2] for side in (0, 1))
    column = start + 2 * np.arange(pairs)
    # Swapped, the one on the left moves to column + 1: only the distance along the row changes.
    first = np.where(left >= 0, (wanted[left, 0] - column) ** 2 - (wanted[left, 0] - column - 1) ** 2, 0)
    second = np.where(right >= 0, (wanted[right, 0] - column - 1) ** 2 - (wanted[right, 0] - column) ** 2, 0)
    better = first + second > 1e-9
    swapped = np.where(better, right, left), np.where(better, left, right)
    left[...], right[...] = swapped
    return int(np.count_nonzero(better & ((left >= 0) | (right >= 0))))
