"""Keypoints from a score map, and their descriptors from a descriptor map: the post-processing of a local head.

Positions are x y from 0 at the centre of the first pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise

__all__ = ["keypoints_of", "sample"]

RADIUS = 2
"""Radius in pixels of non-maximum suppression and of sub-pixel refinement."""
TEMPERATURE = 0.1
"""Temperature of the softmax over the scores around a keypoint (Zhao et al. 2023)."""

Points = NDArray[np.float32]


def keypoints_of(scores: NDArray[np.float32], *, count: int) -> tuple[Points, Vectors]:
    """Return the `count` best local maxima of a map (H, W): points (N, 2) and scores (N,), best first.

    A maximum is the largest of its 5 × 5 neighbours and above 0; those within 3 pixels of the border are omitted.
    Points are refined to fractions of a pixel by soft-argmax. Values that are not finite count as 0. Ties
    are ordered from the top left.
    """
    height, width = scores.shape
    border = RADIUS + 1
    if min(height, width) <= 2 * border:
        return np.empty((0, 2), np.float32), np.empty(0, np.float32)
    values = np.where(np.isfinite(scores), scores, 0).astype(np.float32)
    inner = values[border:-border, border:-border]
    highest = _largest_around(values)[border:-border, border:-border]
    flat = np.flatnonzero(((inner == highest) & (inner > 0)).ravel())
    strengths = inner.ravel()[flat]
    order = _best_apart(flat, strengths, inner.shape[1], count)
    rows, columns = np.divmod(flat[order], inner.shape[1])
    return _refined(values, rows + border, columns + border), strengths[order]


def sample(map_: NDArray[np.float32], points: Points, *, stride: int, centre: float) -> Vectors:
    """Return unit vectors (N, C) sampled from a map (C, h, w) at points (N, 2), by bilinear interpolation.

    stride: distance of cells in pixels. centre: the pixel position of the first cell. Beyond the border cells, their
    values are repeated.
    """
    height, width = map_.shape[1:]
    x = np.clip((points[:, 0] - centre) / stride, 0, width - 1)
    y = np.clip((points[:, 1] - centre) / stride, 0, height - 1)
    left, top = np.minimum(x.astype(np.int64), max(width - 2, 0)), np.minimum(y.astype(np.int64), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper = map_[:, top, left] * (1 - across) + map_[:, top, right] * across
    lower = map_[:, bottom, left] * (1 - across) + map_[:, bottom, right] * across
    return l2_normalise(np.ascontiguousarray((upper * (1 - down) + lower * down).T, dtype=np.float32))


def _largest_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest value of the 5 × 5 neighbours of each position."""
    padded = np.pad(values, RADIUS, constant_values=-np.inf)
    height, width = values.shape
    rows = padded[:height]
    for shift in range(1, 2 * RADIUS + 1):
        rows = np.maximum(rows, padded[shift : shift + height])
    found = rows[:, :width]
    for shift in range(1, 2 * RADIUS + 1):
        found = np.maximum(found, rows[:, shift : shift + width])
    return found


def _best_apart(flat: NDArray[np.int64], strengths: Vectors, width: int, count: int) -> NDArray[np.int64]:
    """Return the indices of the `count` strongest; of maxima near one another, which are equal, only the first."""
    order = np.argsort(-strengths, kind="stable")[: 2 * count]
    equal = strengths[order[1:]] == strengths[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal)).tolist()
    rows, columns = np.divmod(flat[order], width)
    wanted = np.ones(len(order), np.bool_)
    taken: dict[float, list[tuple[int, int]]] = {}
    for at in tied:
        y, x = int(rows[at]), int(columns[at])
        others = taken.setdefault(float(strengths[order[at]]), [])
        if any(abs(y - up) <= RADIUS and abs(x - left) <= RADIUS for up, left in others):
            wanted[at] = False
        else:
            others.append((y, x))
    return order[wanted][:count]


def _refined(values: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Points:
    """Return the positions moved to the softmax-weighted mean of the 5 × 5 positions around each."""
    dy, dx = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].reshape(2, -1)
    around = values[rows[:, None] + dy, columns[:, None] + dx]
    weights = np.exp((around - values[rows, columns][:, None]) / TEMPERATURE)
    total = weights.sum(axis=1)
    return np.stack((columns + weights @ dx / total, rows + weights @ dy / total), axis=1).astype(np.float32)
