"""SCDA (selective convolutional descriptor aggregation): mean and maximum over the main object."""

from __future__ import annotations

from math import inf

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from kindred.arrays import ArrayT, l2_normalise, to_numpy
from kindred.pooling.common import open_maps, positions_last
from kindred.regions import connected_components

__all__ = ["scda"]


def scda(maps: ArrayT, *, unit_halves: bool = True, connectivity: int = 8) -> ArrayT:
    """Concatenate the average and the maximum over the main object's positions (SCDA): (B, C, H, W) → (B, 2·C).

    A position belongs to the object if the sum of its channels is above the mean of these sums and it lies in the
    largest connected component of such positions (among equals, the first in reading order). `connectivity` is 8 if
    diagonal neighbours are connected, 4 if not. If no sum is above the mean, as on a constant map, every position is
    selected. With `unit_halves` the average and the maximum are L2-normalised before they are concatenated, so that
    neither outweighs the other. No gradient flows through the selection. The defaults are those of the authors' code.
    Raises UsageError for another connectivity. Source: Wei et al. 2017.
    """
    xp, x = open_maps(maps)
    total = to_numpy(xp.sum(x, axis=1))
    above = total > total.mean(axis=(1, 2), keepdims=True)
    above |= ~above.any(axis=(1, 2), keepdims=True)
    part = _largest_part(above, connectivity)
    share = xp.asarray(part / part.sum(axis=(1, 2), keepdims=True), dtype=x.dtype, device=device(x))
    x, share = positions_last(xp, x), positions_last(xp, share[:, None])
    halves = [xp.linalg.vecdot(x, share), xp.max(xp.where(share > 0, x, -inf), axis=-1)]
    pooled: ArrayT = xp.concat([l2_normalise(half) for half in halves] if unit_halves else halves, axis=1)
    return pooled


def _largest_part(masks: NDArray[np.bool_], connectivity: int) -> NDArray[np.bool_]:
    """Return the largest connected component of each mask, the first among equals: (B, H, W) → (B, H, W)."""
    batch, height, width = masks.shape
    parts = connected_components(masks, connectivity=connectivity).reshape(batch, height * width)
    sizes = np.bincount(parts.reshape(-1), minlength=1)
    sizes[0] = 0  # cells outside the mask
    largest = parts[np.arange(batch), sizes[parts].argmax(axis=1)]
    part: NDArray[np.bool_] = (parts == largest[:, None]).reshape(masks.shape)
    return part
