"""Window poolings: the sum, the average and the maximum in each square window of a map, which preserve the layout."""

from __future__ import annotations

from functools import reduce
from typing import Any

from kindred.arrays import ArrayT, check_whole
from kindred.pooling.common import open_maps

__all__ = ["window_average", "window_count", "window_max", "window_sum"]


def window_sum(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Sum every channel over each `window` × `window` square: (B, C, H, W) → (B, C·h·w), channel by channel.

    Windows begin every `stride` cells (default: `window`, so that they tile the map) from the top left; cells at the
    right and bottom that do not fill a window are ignored. A side shorter than `window` is one window.
    """
    return _windows(maps, "add", window, stride)


def window_average(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Average every channel over each window of `window_sum`: (B, C, H, W) → (B, C·h·w)."""
    total: Any = _windows(maps, "add", window, stride)
    height, width = maps.shape[2:]
    average: ArrayT = total / (min(window, height) * min(window, width))
    return average


def window_max(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Take the largest value in each window of `window_sum`: (B, C, H, W) → (B, C·h·w)."""
    return _windows(maps, "maximum", window, stride)


def window_count(length: int, window: int, stride: int) -> int:
    """Return the number of windows along a side of `length` cells."""
    return (max(length, window) - window) // stride + 1


def _windows(maps: ArrayT, combine: str, window: int, stride: int | None) -> ArrayT:
    """Reduce the cells of each window: first the rows, then the columns."""
    stride = window if stride is None else stride
    check_whole(window=window, stride=stride)
    xp, x = open_maps(maps)
    for _ in range(2):
        length = x.shape[2]
        count = window_count(length, window, stride)
        last = (count - 1) * stride + 1
        shifts = [x[:, :, first : first + last : stride, :] for first in range(min(window, length))]
        # Transposed after each pass: rows first, then columns, then back to height before width.
        x = xp.permute_dims(reduce(getattr(xp, combine), shifts), (0, 1, 3, 2))
    pooled: ArrayT = xp.reshape(x, (x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]))
    return pooled
