"""Weighted sums: poolings with weights for positions, channels or both."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import ArrayT, Vectors, as_rows, check_positive, check_whole
from kindred.errors import UsageError
from kindred.pooling.basic import sum_pool
from kindred.pooling.common import open_maps, positions_last

__all__ = ["PWA_CHANNELS", "crow", "crow_channels", "pwa", "pwa_channels", "spoc"]

PWA_CHANNELS = 25
"""Number of channels that serve as part detectors, as in the paper."""


def spoc(maps: ArrayT, *, centre_prior: bool = True) -> ArrayT:
    """Sum every channel, positions weighted by how central they are (SPoC): (B, C, H, W) → (B, C).

    The weight is a Gaussian around the centre of the map, with σ a third of the distance from the centre to the
    nearest border, and 1 at the centre. It helps for objects in the middle of the image, such as landmarks, and hurts
    otherwise: `centre_prior=False` is the plain sum. Source: Babenko and Lempitsky 2015.
    """
    if not centre_prior:
        return sum_pool(maps)
    xp, x = open_maps(maps)
    prior = xp.asarray(_centre_prior(*x.shape[2:]), dtype=x.dtype, device=device(x))
    pooled: ArrayT = xp.linalg.vecdot(positions_last(xp, x), prior)
    return pooled


def _centre_prior(height: int, width: int) -> NDArray[np.float64]:
    """Return SPoC's weights of the cells, (H·W,), from the distances of their centres."""
    sigma = min(height, width) / 2 / 3
    y, x = (np.arange(length) - (length - 1) / 2 for length in (height, width))
    weights: NDArray[np.float64] = np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    return weights.reshape(-1)


def crow(maps: ArrayT, *, a: float = 2.0, b: float = 2.0) -> ArrayT:
    """Sum every channel, weighted by position and by channel (CroW): (B, C, H, W) → (B, C).

    The weight of a position is (S / ‖S‖_a)^(1/b), where S is the sum of its channels (a negative sum counts as 0);
    that of a channel is ln(Σ_k q_k / q_c), where q_c is the fraction of its positions that are not zero. A channel
    without activations and an empty map give 0. Source: Kalantidis, Mellina and Osindero 2016.
    """
    check_positive(a=a, b=b)
    xp, x = open_maps(maps)
    x = positions_last(xp, x)
    positions = _position_weights(xp, xp.sum(x, axis=1, keepdims=True), a, b)
    pooled: ArrayT = crow_channels(xp, x) * xp.linalg.vecdot(x, positions)
    return pooled


def _position_weights(xp: ModuleType, x: Any, a: float, b: float) -> Any:
    """Return (x / ‖x‖_a)^(1/b) of maps (B, n, H·W), where negative values count as 0."""
    seen = x > 0
    # 1 replaces 0: a root has no finite gradient at 0, and infinity times 0 is NaN.
    x = xp.where(seen, x, 1.0)
    power = xp.sum(xp.where(seen, x**a, 0.0), axis=-1, keepdims=True)
    norm = xp.where(power > 0, power, 1.0) ** (1 / a)
    return xp.where(seen, (x / norm) ** (1 / b), 0.0)


def crow_channels(xp: ModuleType, x: Any) -> Any:
    """Return CroW's weights of the channels: (B, C, H·W) → (B, C)."""
    active = xp.astype(xp.count_nonzero(x, axis=-1), x.dtype)  # q_c · H·W; the factor cancels
    rarity = xp.sum(active, axis=1, keepdims=True) / xp.where(active > 0, active, 1.0)
    return xp.where(active > 0, xp.log(xp.where(active > 0, rarity, 1.0)), 0.0)


def pwa(maps: ArrayT, *, channels: ArrayLike | None = None, alpha: float = 2.0, beta: float = 2.0) -> ArrayT:
    """Sum every channel once for each part, weighted by the part's detector (PWA): (B, C, H, W) → (B, n·C).

    The n `channels` (indices, n) are the detectors: the weight of a position for part k is
    (X_k / ‖X_k‖_alpha)^(1/beta). `pwa_channels` selects them on other images. The vectors of the parts are
    concatenated in the order of `channels`, and are meant to be reduced by a whitening. Raises UsageError without
    `channels` and for a channel that the maps do not have. Source: Xu et al. 2018.
    """
    check_positive(alpha=alpha, beta=beta)
    xp, x = open_maps(maps)
    chosen = _checked_channels(channels, x.shape[1])
    x = positions_last(xp, x)
    detectors = xp.take(x, xp.asarray(chosen, device=device(x)), axis=1)
    parts = xp.matmul(_position_weights(xp, detectors, alpha, beta), xp.permute_dims(x, (0, 2, 1)))
    pooled: ArrayT = xp.reshape(parts, (x.shape[0], len(chosen) * x.shape[1]))
    return pooled


def _checked_channels(channels: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if channels is None:
        raise UsageError("pwa: got no channels; fit them on other images (kindred fit, or pwa_channels)")
    chosen = np.asarray(channels)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise UsageError(f"channels: got {chosen.dtype} {chosen.shape}; expected whole numbers (n,)")
    if chosen.min() < 0 or chosen.max() >= count:
        raise UsageError(f"channels: got {chosen.min()} to {chosen.max()}; the maps have 0 to {count - 1}")
    return chosen.astype(np.int64)


def pwa_channels(batches: Vectors | Iterable[Vectors], *, count: int = PWA_CHANNELS) -> NDArray[np.int64]:
    """Return the `count` channels whose sums vary most between images: (N, C) → (count,).

    `batches` are the vectors of `sum_pool`, not normalised, of images other than those to be searched, all at once or
    in batches (n, C). The largest variance comes first, among equals the lower index. Raises UsageError for fewer
    than two rows, or fewer than `count` channels.
    """
    check_whole(count=count)
    rows, mean, squares = 0, np.zeros(1), np.zeros(1)
    for batch in [batches] if isinstance(batches, np.ndarray) else batches:
        block = as_rows(batch, "rows").astype(np.float64)
        if not len(block):
            continue
        if rows and block.shape[1] != len(mean):
            raise UsageError(f"rows: got {block.shape[1]} components after {len(mean)}; expected all alike")
        # Chan, Golub and LeVeque 1983: merges the sums of squares around two means.
        step, share = block.mean(axis=0) - mean, len(block) / (rows + len(block))
        squares = squares + ((block - block.mean(axis=0)) ** 2).sum(axis=0) + step**2 * rows * share
        mean, rows = mean + step * share, rows + len(block)
    if rows < 2 or len(squares) < count:
        raise UsageError(
            f"got {rows} rows of {len(squares)} channels to select {count} from; expected at least 2 and {count}"
        )
    return np.argsort(-squares, kind="stable")[:count].astype(np.int64)
