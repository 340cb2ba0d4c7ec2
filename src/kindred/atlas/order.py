"""The order of the images of a map: some spread over all of it first, then ever more of them.

Each image has a level: at the distance of a level, thumbnails of all images up to it do not overlap. Sheets of
thumbnails follow the order, so that few sheets show any part of the map at any scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.atlas.positions import Points

__all__ = ["LAST_LEVEL", "Levels", "distance_of", "hilbert_order", "levels_of", "order_by_level"]

Order = NDArray[np.int64]
Levels = NDArray[np.uint8]

COARSEST = 1 / 4
"""Distance of level 0; it is halved every `PER_OCTAVE` levels."""
PER_OCTAVE = 3
LAST_LEVEL = 39
"""Level of the images that are nearer to others than any distance; theirs is below `APART`."""
BITS = 16
"""Hilbert's curve passes through 65,536 × 65,536 cells."""
AROUND = tuple((across, down) for across in (-1, 0, 1) for down in (-1, 0, 1))


def distance_of(level: int) -> float:
    """Return the distance between images of a level and all below it, the larger of that in x and that in y."""
    return float(COARSEST / 2 ** (level / PER_OCTAVE))


def levels_of(points: Points, *, known: Levels | None = None, seed: int = 0) -> Levels:
    """Return the level (n,) of each of the points (n, 2) of the unit square.

    Level by level, images are chosen in random order unless one chosen before is within the distance of the level
    (dart throwing; Cook 1986), in rounds of all images that no other nearby one precedes (Luby 1986). known: levels of
    the first points, which stay as they are.
    """
    levels = np.full(len(points), LAST_LEVEL, np.uint8)
    before = 0 if known is None else len(known)
    if known is not None:
        levels[:before] = known
    earliest = _earliest(points, levels[:before])
    turn = np.random.default_rng(seed).permutation(len(points))
    free = np.arange(len(points)) >= before
    for level in range(LAST_LEVEL):
        distance = distance_of(level)
        candidates = np.flatnonzero(free & (earliest <= level))
        chosen = before + np.flatnonzero(levels[before:] < level)
        candidates = candidates[~_near(points, candidates, chosen, distance)]
        while len(candidates):
            first = _first_of_cell(points, candidates, turn, distance)
            best = first[~_near(points, first, first, distance, turn)]
            levels[best], free[best] = level, False
            candidates = candidates[free[candidates]]
            candidates = candidates[~_near(points, candidates, best, distance)]
    return levels


def _earliest(points: Points, known: Levels) -> NDArray[np.int64]:
    """Return the first level (n,) from which on each of the points is not too near to those with `known` levels."""
    earliest = np.zeros(len(points), np.int64)
    if not len(known):
        return earliest
    others = np.arange(len(known), len(points))
    for level in range(LAST_LEVEL):
        shown = np.flatnonzero(known <= level)
        near = _near(points, others, shown, distance_of(level))
        earliest[others[near]] = level + 1
    return earliest


def order_by_level(points: Points, levels: Levels) -> Order:
    """Return the order (n,) of points (n, 2) by octaves of their levels (n,), each along Hilbert's curve."""
    along = np.empty(len(points), np.int64)
    along[hilbert_order(points)] = np.arange(len(points))
    order: Order = np.lexsort((along, levels // PER_OCTAVE))
    return order


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


def _near(points: Points, some: Order, others: Order, distance: float, turn: Order | None = None) -> NDArray[np.bool_]:
    """Whether each of `some` (m,) has one of `others` within `distance`; with `turn`, one whose turn comes before.

    No two of `others` are in the same cell of a grid of that distance.
    """
    near = np.zeros(len(some), bool)
    if not len(others):
        return near
    columns, keys = _cells(points, others, distance)
    order = np.argsort(keys)
    sorted_keys = keys[order]
    _, own = _cells(points, some, distance)
    for across, down in AROUND:
        at = np.minimum(np.searchsorted(sorted_keys, own + across + columns * down), len(others) - 1)
        other = others[order[at]]
        found = sorted_keys[at] == own + across + columns * down
        found &= np.abs(points[some] - points[other]).max(axis=1) < distance
        near |= found if turn is None else found & (turn[other] < turn[some])
    return near


def _first_of_cell(points: Points, some: Order, turn: Order, distance: float) -> Order:
    """Return those of `some` that come first in their cell of a grid."""
    _, keys = _cells(points, some, distance)
    order = np.lexsort((turn[some], keys))
    first = np.append(True, np.diff(keys[order]) != 0)
    chosen: Order = some[order[first]]
    return chosen


def _cells(points: Points, some: Order, distance: float) -> tuple[int, Order]:
    """Return the number of columns of a grid and the cell (m,) of each point; cells beside it have other numbers."""
    columns = int(1 / distance) + 4
    x, y = np.floor(points[some].astype(np.float64).T / distance).astype(np.int64) + 1
    keys: Order = x + columns * y
    return columns, keys
