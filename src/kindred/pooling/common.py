"""Helpers of the poolings: checks of maps, sums of unit vectors, computation in blocks that fit the cache."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array

from kindred.arrays import Array, ArrayT, floating, l2_normalise, namespace
from kindred.errors import UsageError

__all__ = ["in_blocks", "open_maps", "positions_last", "sum_of_units"]


def open_maps(maps: Array) -> tuple[ModuleType, Any]:
    """Check the shape of `maps`; return their namespace and the maps as float32 or float64."""
    xp = namespace(maps)
    if maps.ndim != 4 or min(maps.shape[1:]) < 1:
        raise UsageError(f"maps: got shape {tuple(maps.shape)}; expected (B, C, H, W), none but B empty")
    return xp, floating(maps)


def positions_last(xp: ModuleType, x: Any) -> Any:
    """(B, C, H, W) → (B, C, H·W)."""
    return xp.reshape(x, (x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))


def in_blocks(function: Callable[..., Any], *arrays: Any, step: int) -> Any:
    """Apply `function`, which maps arrays (M, …) to (…, M) row by row, to `step` rows at a time.

    NumPy writes every intermediate result to memory: blocks that fit the cache are several times as fast, and smaller
    ones lose the gain to call overhead. The callers' steps were measured. PyTorch tensors are processed at once.
    """
    length = len(arrays[0])
    if not is_numpy_array(arrays[0]) or length <= step:
        return function(*arrays)
    parts = [function(*(array[i : i + step] for array in arrays)) for i in range(0, length, step)]
    return np.concatenate(parts, axis=-1)


def sum_of_units(vectors: ArrayT, whitening: Callable[[ArrayT], ArrayT] | None) -> ArrayT:
    """Normalise the n vectors of each image, whiten and normalise, sum, normalise: (B, n, C) → (B, D).

    `whitening` maps unit vectors (B·n, C) to (B·n, D); without it, D = C.
    """
    units: Any = l2_normalise(vectors)
    xp = namespace(units)
    if whitening is not None:
        batch, count, channels = units.shape
        whitened = whitening(xp.reshape(units, (batch * count, channels)))
        units = l2_normalise(xp.reshape(whitened, (batch, count, whitened.shape[1])))
    pooled: ArrayT = l2_normalise(xp.sum(units, axis=1))
    return pooled
