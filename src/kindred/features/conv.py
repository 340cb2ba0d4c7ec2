"""Local features from a feature map: its strongest positions, described by their vectors of channels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole, l2_normalise
from kindred.errors import UsageError
from kindred.features.local import ConvMap, LocalFeatures

__all__ = ["conv"]

Strength = Literal["norm", "maxima"]


def conv(map_: ConvMap, *, count: int = 500, strength: Strength = "norm") -> LocalFeatures:
    """Take the strongest positions of a map (C, H, W): unit descriptors (N, C) float32.

    A point is the centre of its cell, its scale half a cell; the receptive field is larger. At most `count` are
    returned. With `strength` "norm" positions are ranked by the norm of their vector, as in HOW (Tolias, Jenicek and
    Chum 2020). "maxima" selects positions that are local maxima among their eight neighbours in their strongest
    channel, ranked by that value: the hard detection of D2-Net (Dusmanu et al. 2019). Positions without activation
    are omitted. Ties are ordered from the top left.

    Raises UsageError for an unknown strength.
    """
    check_whole(count=count)
    values = np.asarray(map_.values, dtype=np.float32)
    if strength == "norm":
        scores = np.linalg.norm(values, axis=0)
    elif strength == "maxima":
        scores = _channel_maxima(values)
    else:
        raise UsageError(f"strength: got {strength!r}; expected 'norm' or 'maxima'")
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")[:count]
    order = order[flat[order] > 0]
    rows, columns = np.divmod(order, values.shape[2])
    (width, height), (left, top) = map_.cell, map_.frame[:2]
    points = np.stack((left + (columns + 0.5) * width, top + (rows + 0.5) * height), axis=1).astype(np.float32)
    scales = np.full(len(order), np.sqrt(width * height) / 2, np.float32)
    return LocalFeatures(points, l2_normalise(values[:, rows, columns].T), scales, map_.frame)


def _channel_maxima(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (H, W): the largest channel where it is also the largest among its neighbours, else 0."""
    best = values.argmax(axis=0)[None]
    peak = np.take_along_axis(values, best, axis=0)[0]
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    height, width = peak.shape
    around = np.full_like(peak, -np.inf)
    for y in range(3):
        for x in range(3):
            neighbour = np.take_along_axis(padded[:, y : y + height, x : x + width], best, axis=0)[0]
            around = np.maximum(around, neighbour)
    return np.where(peak >= around, np.maximum(peak, 0), 0).astype(np.float32)
