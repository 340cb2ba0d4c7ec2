"""Pooling: feature maps (B, C, H, W) to one vector per image (B, D).

Every function takes NumPy arrays or PyTorch tensors and returns the same kind; gradients flow in PyTorch.
Half precision is pooled in float32. Maps are taken to be activations after a ReLU, as in the papers; with
negative values every function still returns finite numbers. Only `rmac` ends with a unit vector, because its
definition does; normalise the others with `kindred.arrays.l2_normalise`.

`POOLINGS` is the table of them all: the command line's choices, the documentation and the contract test read
it. `pool` takes a name from it, or any function of your own.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise
from math import inf
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import device, is_numpy_array
from numpy.typing import NDArray

from kindred.arrays import (
    Array,
    ArrayT,
    check_positive,
    check_whole,
    floating,
    l2_normalise,
    namespace,
    to_numpy,
)
from kindred.errors import RecipeError, UsageError
from kindred.regions import rmac_grid

__all__ = [
    "POOLINGS",
    "Pooling",
    "average_pool",
    "crow",
    "gem",
    "max_pool",
    "pool",
    "rmac",
    "rmac_regions",
    "scda",
    "spoc",
    "sum_pool",
    "window_average",
    "window_max",
    "window_sum",
]

Spans: TypeAlias = list[tuple[int, int]]
Parameter: TypeAlias = bool | int | float | Callable[..., Array] | None


def sum_pool(maps: ArrayT) -> ArrayT:
    """Sum every channel over its positions: (B, C, H, W) → (B, C)."""
    xp, x = _open(maps)
    pooled: ArrayT = xp.sum(x, axis=(2, 3))
    return pooled


def average_pool(maps: ArrayT) -> ArrayT:
    """Average every channel over its positions: (B, C, H, W) → (B, C)."""
    xp, x = _open(maps)
    pooled: ArrayT = xp.mean(x, axis=(2, 3))
    return pooled


def max_pool(maps: ArrayT) -> ArrayT:
    """Take the largest value of every channel (MAC): (B, C, H, W) → (B, C).

    Source: Razavian et al. 2014; named MAC by Tolias, Sicre and Jégou 2016.
    """
    xp, x = _open(maps)
    pooled: ArrayT = xp.max(x, axis=(2, 3))
    return pooled


def gem(maps: ArrayT, *, p: float = 3.0, eps: float = 1e-6) -> ArrayT:
    """Take the generalised mean (mean of max(x, eps)^p)^(1/p) of every channel: (B, C, H, W) → (B, C).

    p = 1 is the average; the larger p, the nearer to the maximum. `eps` is a floor under every position, so
    an empty channel gives eps, not 0. Source: Radenović, Tolias and Chum 2018.
    """
    check_positive(p=p, eps=eps)
    xp, x = _open(maps)
    floor = xp.asarray(eps, dtype=x.dtype, device=device(x))

    def mean(x: Any) -> Any:
        x = xp.maximum(x, floor)
        if p == 3:  # the usual case, without a power per position
            return (xp.linalg.vecdot(x * x, x) / x.shape[-1]) ** (1 / 3)
        largest = xp.max(x, axis=-1, keepdims=True)  # taken out, or the power would vanish or overflow
        return largest[:, 0] * xp.mean((x / largest) ** p, axis=-1) ** (1 / p)

    batch, channels, height, width = x.shape
    cells = height * width
    means = _in_blocks(mean, xp.reshape(x, (batch * channels, cells)), step=max(1, 2**16 // cells))
    pooled: ArrayT = xp.reshape(means, (batch, channels))
    return pooled


def window_sum(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Sum every channel over each `window` × `window` square: (B, C, H, W) → (B, C·h·w), channel by channel.

    Squares begin every `stride` cells (default: `window`, so that they tile the map) from the top left; cells
    at the right and bottom that fill no whole square are left out. A shorter side than that is one window.
    """
    return _windows(maps, "add", window, stride)


def window_average(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Average every channel over each square that `window_sum` sums: (B, C, H, W) → (B, C·h·w)."""
    total: Any = _windows(maps, "add", window, stride)
    height, width = maps.shape[2:]
    average: ArrayT = total / (min(window, height) * min(window, width))
    return average


def window_max(maps: ArrayT, *, window: int = 2, stride: int | None = None) -> ArrayT:
    """Take the largest value in each square that `window_sum` sums: (B, C, H, W) → (B, C·h·w)."""
    return _windows(maps, "maximum", window, stride)


def _windows(maps: ArrayT, combine: str, window: int, stride: int | None) -> ArrayT:
    """Combine the cells of each square: first the rows, then the columns."""
    stride = window if stride is None else stride
    check_whole(window=window, stride=stride)
    xp, x = _open(maps)
    for _ in range(2):
        length = x.shape[2]
        count = _window_count(length, window, stride)
        last = (count - 1) * stride + 1
        shifts = [x[:, :, first : first + last : stride, :] for first in range(min(window, length))]
        # Turned over after each pass: rows first, then columns, then back to height before width.
        x = xp.permute_dims(reduce(getattr(xp, combine), shifts), (0, 1, 3, 2))
    pooled: ArrayT = xp.reshape(x, (x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]))
    return pooled


def _window_count(length: int, window: int, stride: int) -> int:
    return (max(length, window) - window) // stride + 1


def spoc(maps: ArrayT, *, centre_prior: bool = True) -> ArrayT:
    """Sum every channel, positions weighted by how central they are (SPoC): (B, C, H, W) → (B, C).

    The weight is a Gaussian about the centre of the map with σ = a third of the way from there to the nearest
    border, 1 in the centre. It helps where the object stands in the middle, as landmarks do, and harms where
    it does not: `centre_prior=False` is the plain sum. Source: Babenko and Lempitsky 2015.
    """
    if not centre_prior:
        return sum_pool(maps)
    xp, x = _open(maps)
    prior = xp.asarray(_centre_prior(*x.shape[2:]), dtype=x.dtype, device=device(x))
    pooled: ArrayT = xp.linalg.vecdot(_positions_last(xp, x), prior)
    return pooled


def _centre_prior(height: int, width: int) -> NDArray[np.float64]:
    """Return SPoC's weights of the cells, (H·W,), measured between the middles of cells."""
    sigma = min(height, width) / 2 / 3
    y, x = (np.arange(length) - (length - 1) / 2 for length in (height, width))
    weights: NDArray[np.float64] = np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    return weights.reshape(-1)


def crow(maps: ArrayT, *, a: float = 2.0, b: float = 2.0) -> ArrayT:
    """Sum every channel, weighted by position and by channel (CroW): (B, C, H, W) → (B, C).

    A position weighs (S / ‖S‖_a)^(1/b), where S is the sum of its channels (a negative sum counts as 0); a
    channel weighs ln(Σ_k q_k / q_c), where q_c is the fraction of its positions that are not zero. A dead
    channel and an empty map give 0. Source: Kalantidis, Mellina and Osindero 2016.
    """
    check_positive(a=a, b=b)
    xp, x = _open(maps)
    x = _positions_last(xp, x)
    pooled: ArrayT = _crow_channels(xp, x) * xp.linalg.vecdot(x, _crow_positions(xp, x, a, b))
    return pooled


def _crow_positions(xp: ModuleType, x: Any, a: float, b: float) -> Any:
    """Return CroW's weights of the positions: (B, C, H·W) → (B, 1, H·W)."""
    total = xp.sum(x, axis=1, keepdims=True)
    seen = total > 0
    # 1 stands in where there is nothing: a root has no finite gradient at 0, and infinity times 0 is NaN.
    total = xp.where(seen, total, 1.0)
    power = xp.sum(xp.where(seen, total**a, 0.0), axis=-1, keepdims=True)
    norm = xp.where(power > 0, power, 1.0) ** (1 / a)
    return xp.where(seen, (total / norm) ** (1 / b), 0.0)


def _crow_channels(xp: ModuleType, x: Any) -> Any:
    """Return CroW's weights of the channels: (B, C, H·W) → (B, C)."""
    active = xp.astype(xp.count_nonzero(x, axis=-1), x.dtype)  # q_c · H·W; the factor cancels
    rarity = xp.sum(active, axis=1, keepdims=True) / xp.where(active > 0, active, 1.0)
    return xp.where(active > 0, xp.log(xp.where(active > 0, rarity, 1.0)), 0.0)


def rmac(maps: ArrayT, *, levels: int = 3, whitening: Callable[[ArrayT], ArrayT] | None = None) -> ArrayT:
    """Sum the unit MAC vectors of the R-MAC grid and normalise: (B, C, H, W) → (B, D).

    `whitening` takes the unit region vectors (B·R, C) to (B·R, D), as `PCAWhitening.transform` does; without,
    D = C. Fit it on such vectors (`rmac_regions`, normalised) of other images; to whiten only the sum is a
    weaker method. Source: Tolias, Sicre and Jégou 2016.
    """
    regions: Any = l2_normalise(rmac_regions(maps, levels=levels))
    xp = namespace(regions)
    if whitening is not None:
        batch, count, channels = regions.shape
        whitened = whitening(xp.reshape(regions, (batch * count, channels)))
        regions = l2_normalise(xp.reshape(whitened, (batch, count, whitened.shape[1])))
    pooled: ArrayT = l2_normalise(xp.sum(regions, axis=1))
    return pooled


def rmac_regions(maps: ArrayT, *, levels: int = 3) -> ArrayT:
    """Take the largest value of every channel in every region of the R-MAC grid: (B, C, H, W) → (B, R, C).

    The regions are those of `kindred.regions.rmac_grid`, in its order; the vectors are not normalised.
    """
    check_whole(levels=levels)
    xp, x = _open(maps)
    batch, channels, height, width = x.shape
    columns, rows, spans = _rmac_plan(width, height, levels)

    def largest(x: Any) -> Any:
        # The borders of all regions cut the map into tiles: every cell is looked at once, for the maximum of
        # its tile, and regions share tiles. Rows come first, because whole rows can be compared at once.
        bands = xp.stack([reduce(xp.maximum, [x[:, i, :] for i in range(*row)]) for row in rows])
        tiles = [reduce(xp.maximum, [bands[..., i] for i in range(*column)]) for column in columns]
        grid = xp.stack(tiles, axis=1)
        return xp.stack([xp.max(grid[y0:y1, x0:x1], axis=(0, 1)) for x0, y0, x1, y1 in spans])

    maxima = _in_blocks(largest, xp.reshape(x, (batch * channels, height, width)), step=2**12)
    regions: ArrayT = xp.permute_dims(xp.reshape(maxima, (len(spans), batch, channels)), (1, 0, 2))
    return regions


@lru_cache(maxsize=1024)
def _rmac_plan(width: int, height: int, levels: int) -> tuple[Spans, Spans, list[tuple[int, int, int, int]]]:
    """Return the columns and rows (first cell, end) of the tiles, and every region's box in tiles."""
    boxes = rmac_grid(width, height, levels=levels)
    xs, ys = np.unique(boxes[:, 0::2]), np.unique(boxes[:, 1::2])
    spans = np.stack([np.searchsorted(side, boxes[:, i]) for i, side in enumerate((xs, ys, xs, ys))], axis=1)
    return list(pairwise(xs.tolist())), list(pairwise(ys.tolist())), [tuple(box) for box in spans.tolist()]


def scda(maps: ArrayT) -> ArrayT:
    """Average and take the maximum over the main object's positions (SCDA): (B, C, H, W) → (B, 2·C).

    A position belongs to the object if the sum of its channels is above the mean of these sums and it lies in
    the largest 4-connected part of such positions (the first in reading order among equals). Where no sum is
    above the mean, as on a constant map, every position belongs. The first half of the vector is the average
    over the selected positions, the second the maximum; the selection is a constant as far as gradients go.
    Source: Wei et al. 2017.
    """
    xp, x = _open(maps)
    total = to_numpy(xp.sum(x, axis=1))
    above = total > total.mean(axis=(1, 2), keepdims=True)
    above |= ~above.any(axis=(1, 2), keepdims=True)
    part = _largest_part(above)
    share = xp.asarray(part / part.sum(axis=(1, 2), keepdims=True), dtype=x.dtype, device=device(x))
    x, share = _positions_last(xp, x), _positions_last(xp, share[:, None])
    maximum = xp.max(xp.where(share > 0, x, -inf), axis=-1)
    pooled: ArrayT = xp.concat([xp.linalg.vecdot(x, share), maximum], axis=1)
    return pooled


def _largest_part(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest 4-connected part of each mask: (B, H, W) → (B, H, W).

    Every cell starts with its own number and takes the smallest among its neighbours until nothing changes.
    """
    batch, height, width = masks.shape
    outside = height * width
    labels = np.full((batch, height + 2, width + 2), outside)
    inner = labels[:, 1:-1, 1:-1]  # a view: the border around it stays outside
    inner[...] = np.where(masks, np.arange(outside).reshape(height, width), outside)
    while True:
        sides = (labels[:, :-2, 1:-1], labels[:, 2:, 1:-1], labels[:, 1:-1, :-2], labels[:, 1:-1, 2:])
        smallest = np.where(masks, reduce(np.minimum, sides, inner), outside)
        if np.array_equal(smallest, inner):
            break
        inner[...] = smallest
    numbered = smallest + (outside + 1) * np.arange(batch)[:, None, None]
    sizes = np.bincount(numbered.reshape(-1), minlength=batch * (outside + 1))
    largest = np.argmax(sizes.reshape(batch, outside + 1)[:, :outside], axis=1)
    part: NDArray[np.bool_] = smallest == largest[:, None, None]
    return part


@dataclass(frozen=True)
class Pooling:
    """One entry of POOLINGS.

    function: maps (B, C, H, W), and parameters by name → vectors (B, D).
    summary: what it does, in a few words.
    source: who described it, for the documentation.
    dimension: channels, height, width of the map, and the function's parameters by name → D. For R-MAC it is
    that without whitening, which decides the dimension itself.
    """

    function: Callable[..., Array]
    summary: str
    source: str
    dimension: Callable[..., int]


def _per_channel(channels: int, _height: int, _width: int, **_parameters: Parameter) -> int:
    return channels


def _per_channel_twice(channels: int, _height: int, _width: int, **_parameters: Parameter) -> int:
    return 2 * channels


def _per_window(channels: int, height: int, width: int, *, window: int = 2, stride: int | None = None) -> int:
    stride = window if stride is None else stride
    return channels * _window_count(height, window, stride) * _window_count(width, window, stride)


_LECUN = "LeCun et al. 1998"
_MAC = "Razavian et al. 2014; Tolias, Sicre and Jégou 2016"

POOLINGS: dict[str, Pooling] = {
    "sum": Pooling(sum_pool, "sum over all positions", "Babenko and Lempitsky 2015", _per_channel),
    "average": Pooling(average_pool, "mean over all positions", "Lin, Chen and Yan 2014", _per_channel),
    "max": Pooling(max_pool, "maximum over all positions", _MAC, _per_channel),
    "mac": Pooling(max_pool, "maximum over all positions, by its name in R-MAC", _MAC, _per_channel),
    "window_sum": Pooling(window_sum, "sum in each window, laid end to end", _LECUN, _per_window),
    "window_average": Pooling(window_average, "mean in each window, laid end to end", _LECUN, _per_window),
    "window_max": Pooling(window_max, "maximum in each window, laid end to end", _LECUN, _per_window),
    "spoc": Pooling(spoc, "sum, central positions weighing more", "Babenko and Lempitsky 2015", _per_channel),
    "gem": Pooling(gem, "generalised mean: average to maximum", "Radenović et al. 2018", _per_channel),
    "crow": Pooling(crow, "sum, weighted by position and channel", "Kalantidis et al. 2016", _per_channel),
    "rmac": Pooling(rmac, "sum of unit MAC vectors of a grid of regions", "Tolias et al. 2016", _per_channel),
    "scda": Pooling(scda, "mean and maximum over the main object", "Wei et al. 2017", _per_channel_twice),
}


def pool(maps: ArrayT, method: str | Callable[..., ArrayT], **parameters: Parameter) -> ArrayT:
    """Pool maps (B, C, H, W) to vectors (B, D) by a name of POOLINGS or a function of your own.

    `parameters` are those of the function, by name. Raises RecipeError for an unknown name or parameter,
    UsageError for maps of another shape or a parameter out of range.

    >>> pool(np.ones((1, 2, 3, 3)), "gem", p=4.0)
    array([[1., 1.]])
    """
    if not isinstance(method, str):
        return method(maps, **parameters)
    if method not in POOLINGS:
        raise RecipeError(f"unknown pooling {method!r}; {_nearest(method, POOLINGS)}")
    function: Any = POOLINGS[method].function
    known = list(inspect.signature(function).parameters)[1:]
    for name in parameters:
        if name not in known:
            raise RecipeError(f"pooling {method!r} has no parameter {name!r}; {_nearest(name, known)}")
    pooled: ArrayT = function(maps, **parameters)
    return pooled


def _nearest(name: str, known: Collection[str]) -> str:
    """Say which known name is meant, or which there are."""
    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"expected one of {', '.join(known)}" if known else "it takes none"


def _open(maps: Array) -> tuple[ModuleType, Any]:
    """Check the shape of `maps`; return their namespace and the maps as float32 or float64."""
    xp = namespace(maps)
    if maps.ndim != 4 or min(maps.shape[1:]) < 1:
        raise UsageError(f"maps: got shape {tuple(maps.shape)}; expected (B, C, H, W), none but B empty")
    return xp, floating(maps)


def _positions_last(xp: ModuleType, x: Any) -> Any:
    """(B, C, H, W) → (B, C, H·W)."""
    return xp.reshape(x, (x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))


def _in_blocks(function: Callable[[Any], Any], channels: Any, *, step: int) -> Any:
    """Apply `function`, from (M, …) to (…, M) and alike for every channel, to `step` channels at a time.

    NumPy writes every intermediate result to memory: blocks that the cache holds make it several times as
    fast, smaller ones lose that to the calls; the callers' steps were measured. PyTorch gets all at once.
    """
    if not is_numpy_array(channels) or len(channels) <= step:
        return function(channels)
    return np.concatenate([function(channels[i : i + step]) for i in range(0, len(channels), step)], axis=-1)
