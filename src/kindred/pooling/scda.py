"""SCDA: the mean and the maximum over the main object of the image."""

from __future__ import annotations

from math import inf

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from kindred.arrays import ArrayT, to_numpy
from kindred.pooling.common import open_maps, positions_last
from kindred.regions import connected_parts

__all__ = ["scda"]


def scda(maps: ArrayT) -> ArrayT:
    """Average and take the maximum over the main object's positions (SCDA): (B, C, H, W) → (B, 2·C).

    A position belongs to the object if the sum of its channels is above the mean of these sums and it lies in
    the largest 4-connected part of such positions (the first in reading order among equals). Where no sum is
    above the mean, as on a constant map, every position belongs. The first half of the vector is the average
    over the selected positions, the second the maximum; the selection is a constant as far as gradients go.
    Source: Wei et al. 2017.
    """
    xp, x = open_maps(maps)
    total = to_numpy(xp.sum(x, axis=1))
    above = total > total.mean(axis=(1, 2), keepdims=True)
    above |= ~above.any(axis=(1, 2), keepdims=True)
    part = _largest_part(above)
    share = xp.asarray(part / part.sum(axis=(1, 2), keepdims=True), dtype=x.dtype, device=device(x))
    x, share = positions_last(xp, x), positions_last(xp, share[:, None])
    maximum = xp.max(xp.where(share > 0, x, -inf), axis=-1)
    pooled: ArrayT = xp.concat([xp.linalg.vecdot(x, share), maximum], axis=1)
    return pooled


def _largest_part(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest 4-connected part of each mask, the first of equals: (B, H, W) → (B, H, W)."""
    batch, height, width = masks.shape
    parts = connected_parts(masks).reshape(batch, height * width)
    sizes = np.bincount(parts.reshape(-1), minlength=1)
    sizes[0] = 0  # that of the cells outside
    largest = parts[np.arange(batch), sizes[parts].argmax(axis=1)]
    part: NDArray[np.bool_] = (parts == largest[:, None]).reshape(masks.shape)
    return part
