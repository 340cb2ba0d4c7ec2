"""Basic poolings: the sum, the average and the maximum of every channel."""

from __future__ import annotations

from kindred.arrays import ArrayT
from kindred.pooling.common import open_maps

__all__ = ["average_pool", "max_pool", "sum_pool"]


def sum_pool(maps: ArrayT) -> ArrayT:
    """Sum every channel over its positions: (B, C, H, W) → (B, C)."""
    xp, x = open_maps(maps)
    pooled: ArrayT = xp.sum(x, axis=(2, 3))
    return pooled


def average_pool(maps: ArrayT) -> ArrayT:
    """Average every channel over its positions: (B, C, H, W) → (B, C)."""
    xp, x = open_maps(maps)
    pooled: ArrayT = xp.mean(x, axis=(2, 3))
    return pooled


def max_pool(maps: ArrayT) -> ArrayT:
    """Take the largest value of every channel (MAC): (B, C, H, W) → (B, C).

    Source: Razavian et al. 2014; named MAC by Tolias, Sicre and Jégou 2016.
    """
    xp, x = open_maps(maps)
    pooled: ArrayT = xp.max(x, axis=(2, 3))
    return pooled
