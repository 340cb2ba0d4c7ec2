"""Oracles of pooling: straight from the definitions, one map (C, H, W) as nested lists, one cell after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]
Channel = list[list[float]]
"""One channel of one map: rows of cells."""


def cells_of(channel: Channel) -> list[float]:
    return [value for row in channel for value in row]


def literal_windows(
    x: list[Channel], combine: Callable[[list[float]], float], window: int, stride: int | None
) -> list[float]:
    stride = stride or window
    height, width = len(x[0]), len(x[0][0])
    rows, columns = min(window, height), min(window, width)
    return [
        combine([channel[i + di][j + dj] for di in range(rows) for dj in range(columns)])
        for channel in x
        for i in range(0, height - rows + 1, stride)
        for j in range(0, width - columns + 1, stride)
    ]


def literal_window_sum(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return literal_windows(x, sum, window, stride)


def literal_window_average(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return literal_windows(x, lambda cells: sum(cells) / len(cells), window, stride)


def literal_window_max(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return literal_windows(x, max, window, stride)


def literal_spoc(x: list[Channel], *, centre_prior: bool = True) -> list[float]:
    height, width = len(x[0]), len(x[0][0])
    sigma = min(height, width) / 6

    def weight(i: int, j: int) -> float:
        squared = (i + 0.5 - height / 2) ** 2 + (j + 0.5 - width / 2) ** 2
        return math.exp(-squared / (2 * sigma**2)) if centre_prior else 1.0

    return [sum(weight(i, j) * value for i, row in enumerate(c) for j, value in enumerate(row)) for c in x]


def literal_gem(x: list[Channel], *, p: float | list[float] = 3.0, eps: float = 1e-6) -> list[float]:
    powers = p if isinstance(p, list) else [p] * len(x)
    return [
        (sum(max(v, eps) ** power for v in cells_of(c)) / len(cells_of(c))) ** (1 / power)
        for c, power in zip(x, powers, strict=True)
    ]


def literal_superglobal(x: list[Channel], *, p: float = 4.6, window: int = 5, window_p: float = 2.5) -> list[float]:
    """GeM of ½ X + ½ (mean of X^window_p over the window, mirrored at the borders)^(1/window_p)."""
    height, width, reach = len(x[0]), len(x[0][0]), window // 2

    def mirrored(i: int, length: int) -> int:
        while not 0 <= i < length:
            i = 0 if length == 1 else -i if i < 0 else 2 * (length - 1) - i
        return i

    def regional(c: Channel, i: int, j: int) -> float:
        steps = range(-reach, reach + 1)
        near = [c[mirrored(i + di, height)][mirrored(j + dj, width)] for di in steps for dj in steps]
        return float((sum(v**window_p for v in near) / window**2) ** (1 / window_p))

    both = [[[0.5 * c[i][j] + 0.5 * regional(c, i, j) for j in range(width)] for i in range(height)] for c in x]
    return literal_gem(both, p=p, eps=1e-8)


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _literal_channel_weights(channels: list[list[float]]) -> list[float]:
    q = [sum(v != 0 for v in c) / len(c) for c in channels]
    return [math.log(sum(q) / q_c) if q_c > 0 else 0.0 for q_c in q]


def literal_crow(x: list[Channel], *, a: float = 2.0, b: float = 2.0) -> list[float]:
    channels = [cells_of(c) for c in x]
    sums = [max(sum(values), 0.0) for values in zip(*channels, strict=True)]
    z = sum(s**a for s in sums) ** (1 / a)
    alpha = [(s / z) ** (1 / b) if z > 0 else 0.0 for s in sums]
    return [w * _dot(alpha, c) for w, c in zip(_literal_channel_weights(channels), channels, strict=True)]


def literal_pwa(x: list[Channel], *, channels: list[int], alpha: float = 2.0, beta: float = 2.0) -> list[float]:
    cells = [cells_of(c) for c in x]
    vector: list[float] = []
    for k in channels:
        norm = sum(v**alpha for v in cells[k]) ** (1 / alpha)
        weights = [(v / norm) ** (1 / beta) if norm > 0 else 0.0 for v in cells[k]]
        vector += [_dot(weights, c) for c in cells]
    return vector


def literal_cam(x: list[Channel], *, weights: list[list[float]], classes: int = 64) -> list[float]:
    cells = [cells_of(c) for c in x]
    maps = [[_dot(row, list(values)) for values in zip(*cells, strict=True)] for row in weights]
    maps.sort(key=lambda m: -sum(m) / len(m))
    total = [0.0] * len(x)
    for m in maps[:classes]:
        seen = [max(v, 0.0) / max(m) if max(m) > 0 else 0.0 for v in m]
        vector = [w * _dot(seen, c) for w, c in zip(_literal_channel_weights(cells), cells, strict=True)]
        total = [t + v for t, v in zip(total, literal_unit(vector), strict=True)]
    return literal_unit(total)


def literal_unit(vector: list[float]) -> list[float]:
    norm = math.sqrt(sum(v * v for v in vector))
    return [v / norm if norm > 0 else 0.0 for v in vector]


def literal_grid(width: int, height: int, levels: int) -> list[tuple[int, int, int]]:
    """Squares as x, y, side, in the steps of the authors' code."""
    w = min(width, height)
    gaps = [(max(width, height) - w) / (s - 1) for s in range(2, 8)]
    misses = [abs((w**2 - w * b) / w**2 - 0.4) for b in gaps]
    idx = misses.index(min(misses)) + 1
    wd, hd = (idx if height < width else 0), (idx if height > width else 0)
    squares = []
    for level in range(1, levels + 1):
        wl = math.floor(2 * w / (level + 1))
        wl2 = math.floor(wl / 2 - 1)
        bx = 0.0 if level + wd == 1 else (width - wl) / (level + wd - 1)
        by = 0.0 if level + hd == 1 else (height - wl) / (level + hd - 1)
        squares += [
            (math.floor(wl2 + i * bx) - wl2, math.floor(wl2 + j * by) - wl2, wl)
            for j in range(level + hd)
            for i in range(level + wd)
            if wl > 0
        ]
    return squares


def _literal_regions(
    x: list[Channel], levels: int, describe: Callable[[list[Channel]], list[float]], *, whole: bool
) -> list[float]:
    total = literal_unit(describe(x)) if whole else [0.0] * len(x)
    for left, top, side in literal_grid(len(x[0][0]), len(x[0]), levels):
        region = [[row[left : left + side] for row in c[top : top + side]] for c in x]
        total = [t + v for t, v in zip(total, literal_unit(describe(region)), strict=True)]
    return literal_unit(total)


def literal_rmac(x: list[Channel], *, levels: int = 3, whole: bool = False) -> list[float]:
    return _literal_regions(x, levels, lambda region: [max(cells_of(c)) for c in region], whole=whole)


def literal_rgem(
    x: list[Channel], *, levels: int = 3, whole: bool = False, p: float = 3.0, eps: float = 1e-6
) -> list[float]:
    return _literal_regions(x, levels, lambda region: literal_gem(region, p=p, eps=eps), whole=whole)


def literal_pyramid_gem(x: list[Channel], *, levels: int = 4, p: float = 3.0, eps: float = 1e-6) -> list[float]:
    height, width = len(x[0]), len(x[0][0])
    total = [0.0] * len(x)
    for cells in range(1, levels + 1):
        for i in range(cells):
            for j in range(cells):
                top, bottom = literal_cell(height, cells, i)
                left, right = literal_cell(width, cells, j)
                region = [[row[left:right] for row in c[top:bottom]] for c in x]
                total = [t + v for t, v in zip(total, literal_unit(literal_gem(region, p=p, eps=eps)), strict=True)]
    return literal_unit(total)


def literal_cell(length: int, cells: int, number: int) -> tuple[int, int]:
    """The borders of one of equal parts, rounded, half upwards; it has at least one place."""
    first, last = (int(border * length / cells + 0.5) for border in (number, number + 1))
    first = min(first, length - 1)
    return first, max(first + 1, last)


def literal_parts(mask: list[list[bool]], connectivity: int) -> list[list[tuple[int, int]]]:
    """The connected parts of a mask by flood fill, in reading order of their first cells."""
    left = {(i, j) for i, row in enumerate(mask) for j, value in enumerate(row) if value}
    parts = []
    while left:
        part, front = [], [min(left)]
        left.discard(front[0])
        while front:
            i, j = front.pop()
            part.append((i, j))
            near = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1) if connectivity == 8 or not di * dj}
            near &= left
            left -= near
            front += near
        parts.append(part)
    return parts


def literal_scda(x: list[Channel], *, unit_halves: bool = True, connectivity: int = 8) -> list[float]:
    height, width = len(x[0]), len(x[0][0])
    sums = [[sum(c[i][j] for c in x) for j in range(width)] for i in range(height)]
    mean = sum(cells_of(sums)) / (height * width)
    mask = [[s > mean for s in row] for row in sums]
    parts = literal_parts(mask, connectivity) or [[(i, j) for i in range(height) for j in range(width)]]
    part = max(parts, key=len)
    chosen = [[c[i][j] for i, j in part] for c in x]
    average, maximum = [sum(c) / len(c) for c in chosen], [max(c) for c in chosen]
    return literal_unit(average) + literal_unit(maximum) if unit_halves else average + maximum


ORACLES: dict[str, Callable[..., list[float]]] = {
    "sum": lambda x: [sum(cells_of(c)) for c in x],
    "average": lambda x: [sum(cells_of(c)) / len(cells_of(c)) for c in x],
    "max": lambda x: [max(cells_of(c)) for c in x],
    "mac": lambda x: [max(cells_of(c)) for c in x],
    "window_sum": literal_window_sum,
    "window_average": literal_window_average,
    "window_max": literal_window_max,
    "spoc": literal_spoc,
    "gem": literal_gem,
    "superglobal": literal_superglobal,
    "crow": literal_crow,
    "pwa": literal_pwa,
    "cam": literal_cam,
    "rmac": literal_rmac,
    "rgem": literal_rgem,
    "pyramid_gem": literal_pyramid_gem,
    "scda": literal_scda,
}


def given(name: str, channels: int) -> dict[str, Any]:
    """Return what pooling `name` needs from elsewhere on maps of so many channels, as a file or a network has it."""
    if name == "pwa":
        return {"channels": [channels - 1, 0]}
    if name == "cam":
        return {"weights": np.random.default_rng(5).standard_normal((5, channels)).tolist()}
    return {}


def signed(shape: tuple[int, ...], seed: int = 0) -> Maps:
    return np.random.default_rng(seed).standard_normal(shape)


def after_relu(shape: tuple[int, ...], seed: int = 0) -> Maps:
    """Maps as a network gives them: half of the cells are 0, the first channel is dead."""
    maps = np.maximum(signed(shape, seed), 0)
    maps[:, 0] = 0
    return maps
