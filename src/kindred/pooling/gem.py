"""Generalised means (GeM): between the average and the maximum of every channel."""

from __future__ import annotations

from functools import reduce
from math import inf
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import device, is_numpy_array, is_torch_array
from numpy.typing import NDArray

from kindred.arrays import Array, ArrayT, check_positive, check_whole, like, to_numpy
from kindred.errors import UsageError
from kindred.pooling.common import in_blocks, open_maps

__all__ = ["gem", "superglobal"]

CUBE_ROOT = 1e12
"""Up to this value cubes can be summed in float32: 1e36, a hundredth of its largest number."""


def gem(maps: ArrayT, *, p: float | Array = 3.0, eps: float = 1e-6) -> ArrayT:
    """Take the generalised mean (mean of max(x, eps)^p)^(1/p) of every channel: (B, C, H, W) → (B, C).

    p = 1 is the average; the larger p, the nearer to the maximum. `p` may also be an array (C,), one exponent per
    channel as in some trained networks, or (1,); gradients flow to a tensor. Values are clipped to at least `eps`, so
    an empty channel gives eps, not 0. Source: Radenović, Tolias and Chum 2018.
    """
    check_positive(eps=eps)
    xp, x = open_maps(maps)
    batch, channels, height, width = x.shape
    cells = height * width
    floor = xp.asarray(eps, dtype=x.dtype, device=device(x))
    rows = xp.reshape(x, (batch * channels, cells))
    step = max(1, 2**16 // cells)
    if isinstance(p, int | float):
        check_positive(p=p)
        means = in_blocks(lambda x: _mean(xp, xp.maximum(x, floor), p), rows, step=step)
    else:
        powers = xp.tile(xp.broadcast_to(_powers(p, x), (channels,)), (batch,))
        means = in_blocks(lambda x, p: _mean(xp, xp.maximum(x, floor), p[:, None]), rows, powers, step=step)
    pooled: ArrayT = xp.reshape(means, (batch, channels))
    return pooled


def _mean(xp: ModuleType, x: Any, p: Any) -> Any:
    """Return the generalised means of positive rows: (M, N) → (M,); `p` is a number or (M, 1)."""
    cubes = isinstance(p, int | float) and p == 3  # the usual case, faster without a power per position
    if cubes and _in_range_of_cubes(x):
        return (xp.linalg.vecdot(x * x, x) / x.shape[-1]) ** (1 / 3)
    largest = xp.max(x, axis=-1, keepdims=True)  # factored out, or the power would underflow or overflow
    if is_torch_array(largest):
        largest = largest.detach()  # it cancels, and so does its gradient
    scaled = x / largest
    powers = scaled * scaled * scaled if cubes else scaled**p
    return (largest * xp.mean(powers, axis=-1, keepdims=True) ** (1 / p))[:, 0]


def _in_range_of_cubes(x: Any) -> bool:
    """Return whether the cubes of positive NumPy rows neither underflow nor overflow; False for tensors."""
    return is_numpy_array(x) and x.size > 0 and bool(x.max() < CUBE_ROOT and x.min() > 1 / CUBE_ROOT)


def _powers(p: Any, x: Any) -> Any:
    """Check the exponents, one in all or one per channel of `x`, and return them as an array like `x`."""
    known = to_numpy(p)
    if known.shape not in ((), (1,), (x.shape[1],)):
        raise UsageError(f"p: got shape {known.shape}; expected one for each channel, ({x.shape[1]},)")
    for worst in (known.min(), known.max()):  # NaN is both
        check_positive(p=float(worst))
    return like(p, x)


def superglobal(maps: ArrayT, *, p: float = 4.6, window: int = 5, window_p: float = 2.5) -> ArrayT:
    """Take GeM of the mean of the map and its regional GeM: (B, C, H, W) → (B, C).

    Regional GeM is the generalised mean, with exponent `window_p`, over the `window` × `window` cells around each
    cell, with mirrored borders; `window` is odd. This is the single-scale pooling of SuperGlobal, without its change
    to the network (ReLUP). Source: Shao et al. 2023.
    """
    check_whole(window=window)
    check_positive(p=p)
    if window % 2 == 0 or not 1 <= window_p < inf:
        raise UsageError(f"got window {window} and window_p {window_p}; expected an odd number of cells and at least 1")
    xp, x = open_maps(maps)
    batch, channels, height, width = x.shape
    floor = xp.asarray(1e-8, dtype=x.dtype, device=device(x))

    def mean(x: Any) -> Any:
        mixed = (x + _regional(xp, x, window, window_p)) / 2
        cells = xp.reshape(mixed, (x.shape[0], height * width))
        return _mean(xp, xp.maximum(cells, floor), p)

    rows = xp.reshape(x, (batch * channels, height, width))
    pooled: ArrayT = xp.reshape(in_blocks(mean, rows, step=max(1, 2**16 // (height * width))), (batch, channels))
    return pooled


def _regional(xp: ModuleType, x: Any, window: int, p: float) -> Any:
    """Return the generalised means of the windows around all cells: (M, H, W) → (M, H, W)."""
    largest = xp.max(x, axis=(1, 2), keepdims=True)
    scale = xp.where(largest > 0, largest, 1.0)  # factored out, or the power would underflow or overflow
    powers = xp.where(x > 0, x / scale, 0.0) ** p
    for _ in range(2):  # along the columns, transpose, along the rows, transpose back
        length = powers.shape[1]
        wider = xp.take(powers, xp.asarray(_mirrored(length, window // 2), device=device(x)), axis=1)
        shifts = [wider[:, first : first + length, :] for first in range(window)]
        powers = xp.permute_dims(reduce(xp.add, shifts) / window, (0, 2, 1))
    seen = powers > xp.finfo(x.dtype).smallest_normal  # below it, the root has no finite gradient
    return scale * xp.where(seen, xp.where(seen, powers, 1.0) ** (1 / p), 0.0)


def _mirrored(length: int, reach: int) -> NDArray[np.int64]:
    """Return the indices of a side padded by `reach` mirrored cells at both ends: 2 1 0 1 2 3 2 1 for reach 2.

    Border cells are not repeated; for a side of one cell all indices are 0.
    """
    cells = np.arange(-reach, length + reach)
    if length == 1:
        return np.zeros_like(cells)
    period = 2 * (length - 1)
    folded = np.abs(cells) % period
    mirrored: NDArray[np.int64] = np.minimum(folded, period - folded)
    return mirrored
