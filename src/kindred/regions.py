"""Regions: boxes in a feature map or an image, and operations on boxes.

R-MAC pools regions of a map (`rmac_grid`). With multiple passes, every region of the image passes through the network
on its own: `REGIONS` is the table of the region schemes; `divide` takes a name from it or a custom function.

Boxes are (R, 4), x0 y0 x1 y1, half-open: x1 and y1 are the first cells, or pixels, outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, inf
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.errors import RecipeError, UsageError
from kindred.hints import check_known, check_options, options_of

__all__ = [
    "REGIONS",
    "Box",
    "Boxes",
    "RegionScheme",
    "Regions",
    "boxes_to_pixels",
    "clipped",
    "connected_components",
    "dense_windows",
    "divide",
    "non_maximum_suppression",
    "rigid_grid",
    "rmac_grid",
    "spatial_pyramid",
]

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels of an image; pixel (0, 0) covers 0 to 1."""

Boxes = NDArray[np.int64]
"""(R, 4) int64: x0 y0 x1 y1 in cells of a map or pixels of an image, half-open."""

Option: TypeAlias = bool | int | float | tuple[float, ...] | list[float]

OVERLAP = 0.4
"""Target overlap of neighbouring regions of the first level, as a fraction of their width."""

STEPS = range(2, 8)
"""Possible numbers of regions of the first level along the longer side."""

MOST_ELONGATED = 8
"""Largest ratio of the sides from which window sizes are derived: on thinner images, fractions would be 0 pixels."""


class Regions(NamedTuple):
    """Boxes (R, 4), and the level of each, (R,), from 0, for a VLAD per level. Both are read-only."""

    boxes: Boxes
    levels: NDArray[np.int64]


@lru_cache(maxsize=1024)
def rmac_grid(width: int, height: int, *, levels: int = 3, whole: bool = False) -> Boxes:
    """Return the square regions of R-MAC on a map of `width` × `height` cells; the array is read-only.

    Level l = 1 … `levels` has squares of side ⌊2·min(width, height) / (l + 1)⌋, evenly spaced, with more of them
    along the longer side; in rows from top to bottom, each from left to right. Levels with a side of 0 on a tiny map
    are omitted. With `whole`, the whole map is the first region, as in the code of Radenović, Tolias and Chum 2018;
    the authors of R-MAC do not use it.

    This is the grid of the authors' code (Tolias, Sicre and Jégou 2016) with the same order of operations in double
    precision: single precision or simplified expressions select other regions where two overlaps tie (9 × 5) or where
    a position is a whole number (63 × 4). Raises UsageError for sizes or levels below 1.
    """
    if min(width, height, levels) < 1:
        raise UsageError(f"got a {width} × {height} map and {levels} levels; expected at least 1 of each")
    shorter = min(width, height)
    extra = _extra_steps(width, height)
    boxes: list[tuple[int, int, int, int]] = [(0, 0, width, height)] if whole else []
    for level in range(1, levels + 1):
        side = floor(2 * shorter / (level + 1))
        if side == 0:
            break
        xs = _positions(width, side, level + (extra if width > height else 0))
        ys = _positions(height, side, level + (extra if height > width else 0))
        boxes += [(x, y, x + side, y + side) for y in ys for x in xs]
    grid = np.array(boxes, dtype=np.int64)
    grid.flags.writeable = False
    return grid


def _extra_steps(width: int, height: int) -> int:
    """Return the number of additional regions along the longer side that gives an overlap nearest to OVERLAP."""
    shorter = float(min(width, height))

    def miss(steps: int) -> float:
        stride = (max(width, height) - shorter) / (steps - 1)
        return abs((shorter**2 - shorter * stride) / shorter**2 - OVERLAP)

    return STEPS.index(min(STEPS, key=miss)) + 1  # of equal misses, min takes the first


def _positions(length: int, side: int, count: int) -> list[int]:
    """Return the start of each of `count` squares of `side` cells along `length` cells."""
    stride = (length - side) / (count - 1) if count > 1 else 0.0
    # As in the authors' code: adding and subtracting half a side affects how the sum is rounded before the floor.
    half = floor(side / 2 - 1)
    return [floor(half + k * stride) - half for k in range(count)]


@lru_cache(maxsize=1024)
def rigid_grid(width: int, height: int, *, cells: int = 3) -> Regions:
    """Cut an image into `cells` × `cells` equal parts, row by row: R = cells², all of level 0.

    Borders are rounded to whole pixels. On an image with fewer pixels than cells, neighbours share pixels, so that
    none is empty. Raises UsageError for sizes or cells below 1.
    """
    return _with_levels([_equal_cells(width, height, _whole("cells", cells))])


@lru_cache(maxsize=1024)
def spatial_pyramid(width: int, height: int, *, levels: int = 3) -> Regions:
    """Cut an image into 1 × 1, 2 × 2, … `levels` × `levels` equal parts, coarse to fine.

    Level l, from 0, is the rigid grid with l + 1 cells per side; R = 1 + 4 + … + levels². Raises UsageError for
    sizes or levels below 1. Source: Lazebnik, Schmid and Ponce 2006.
    """
    return _with_levels([_equal_cells(width, height, cells) for cells in range(1, _whole("levels", levels) + 1)])


@lru_cache(maxsize=1024)
def dense_windows(width: int, height: int, *, sizes: tuple[float, ...] = (0.5,), stride: float = 0.25) -> Regions:
    """Cover an image with square windows of several sizes; each size is a level, in the order given.

    A size or stride up to 1 is a fraction of the shorter side; above 1 it is in pixels. The windows of a size are
    evenly spaced from border to border, at most `stride` apart, in rows from top to bottom. A window larger than the
    image is clipped to it. On images more than 8 times as long as wide, fractions are of an eighth of the longer
    side. Raises UsageError for image sizes below 1, and for a size or stride that is not above 0.

    MOP-CNN (Gong et al. 2014) uses the whole image, and windows of 128 and 64 pixels of 256, 32 apart:

    >>> np.bincount(dense_windows(256, 256, sizes=(1.0, 0.5, 0.25), stride=0.125).levels).tolist()
    [1, 25, 49]
    """
    _check_image(width, height)
    if not sizes:
        raise UsageError("sizes: got none; expected at least one, a share of the shorter side or pixels")
    shorter = max(min(width, height), ceil(max(width, height) / MOST_ELONGATED))
    step = _pixels("stride", stride, shorter)
    levels = []
    for size in sizes:
        side = _pixels("sizes", size, shorter)
        across, down = min(side, width), min(side, height)
        xs, ys = _window_starts(width, across, step), _window_starts(height, down, step)
        levels.append([(x, y, x + across, y + down) for y in ys for x in xs])
    return _with_levels(levels)


@dataclass(frozen=True)
class RegionScheme:
    """One entry of REGIONS.

    function: width and height in pixels, and options by name → Regions.
    summary: what it does, in a few words.
    source: author and year, for the documentation.
    """

    function: Callable[..., Regions]
    summary: str
    source: str


_PYRAMID = "Lazebnik, Schmid and Ponce 2006"
_DENSE = "Gong et al. 2014; Razavian et al. 2014"

REGIONS: dict[str, RegionScheme] = {
    "grid": RegionScheme(rigid_grid, "equal cells, n × n", "Chen et al. 2023 (survey)"),
    "pyramid": RegionScheme(spatial_pyramid, "grids of 1 × 1, 2 × 2, … cells", _PYRAMID),
    "dense": RegionScheme(dense_windows, "square windows of several sizes, evenly spread", _DENSE),
}


def divide(width: int, height: int, scheme: str | Callable[..., Regions], **options: Option) -> Regions:
    """Divide an image of `width` × `height` pixels into regions by a name of REGIONS or a custom function.

    `options` are those of the function, by name; lists (from TOML) are converted to tuples. Raises RecipeError for an
    unknown name or option, UsageError for an option out of range.

    >>> divide(90, 60, "grid", cells=2).boxes.tolist()
    [[0, 0, 45, 30], [45, 0, 90, 30], [0, 30, 45, 60], [45, 30, 90, 60]]
    """
    given: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    if not isinstance(scheme, str):
        return scheme(width, height, **given)
    check_known("regions", scheme, REGIONS, error=RecipeError)
    function = REGIONS[scheme].function
    check_options(f"regions {scheme!r}", given, options_of(function), error=RecipeError)
    return function(width, height, **given)


def boxes_to_pixels(
    boxes: NDArray[np.floating[Any] | np.integer[Any]], cells: tuple[int, int], pixels: tuple[int, int]
) -> Boxes:
    """Convert boxes in a map of `cells` (width, height) to boxes in an image of `pixels` (width, height).

    They are rounded outwards to whole pixels and clipped to the image, with at least one pixel: (R, 4) → (R, 4).
    With equal sizes, boxes that are in pixels already are rounded.
    """
    size = np.tile(np.asarray(pixels, np.int64), 2)
    # Rounded to 6 decimals first: 3 · (100 / 3) is slightly more than 100 in some orders of operations.
    scaled = np.round(np.asarray(boxes, np.float64).reshape(-1, 4) * (size / np.tile(cells, 2)), 6)
    low = np.clip(np.floor(scaled[:, :2]).astype(np.int64), 0, size[:2] - 1)
    high = np.clip(np.ceil(scaled[:, 2:]).astype(np.int64), low + 1, size[2:])
    return np.concatenate([low, high], axis=1)


def connected_components(masks: NDArray[np.bool_], *, connectivity: int = 4) -> NDArray[np.int64]:
    """Label the connected components of masks (B, H, W), each mask on its own, in reading order: (B, H, W).

    `connectivity` is 4, or 8 if diagonal neighbours are connected. Labels are 1, 2, … through the whole batch; cells
    outside the masks are 0. Raises UsageError for another connectivity.
    """
    if connectivity not in (4, 8):
        raise UsageError(f"connectivity: got {connectivity!r}; expected 4 or 8 (diagonal neighbours are connected)")
    batch, height, width = masks.shape
    row = width + 1
    # Padding at the left, the top and the very end separates rows and masks in the flattened array.
    framed = np.zeros(batch * (height + 1) * row + row + 1, dtype=bool)
    inner = framed[: batch * (height + 1) * row].reshape(batch, height + 1, row)
    inner[:, 1:, 1:] = masks
    cells = np.flatnonzero(framed)
    steps = [0, -1, 1, -row, row] + ([-row - 1, -row + 1, row - 1, row + 1] if connectivity == 8 else [])
    neighbours = cells + np.array(steps)[:, None]
    labels = np.full(framed.size, framed.size - 1)
    labels[cells] = cells
    while True:
        # The smallest label among the neighbours, then the label of that cell (pointer jumping), until nothing changes.
        smallest = labels[labels[neighbours].min(axis=0)]
        if np.array_equal(smallest, labels[cells]):
            break
        labels[cells] = smallest
    firsts = cells[smallest == cells]
    numbers = np.zeros(framed.size, dtype=np.int64)
    numbers[firsts] = np.arange(1, firsts.size + 1)
    parts = np.zeros(masks.shape, dtype=np.int64)
    parts[masks] = numbers[smallest]
    return parts


def non_maximum_suppression(
    boxes: NDArray[np.floating[Any] | np.integer[Any]],
    scores: NDArray[np.floating[Any]],
    *,
    iou: float = 0.6,
    count: int | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the boxes (R, 4) that overlap no better one by more than `iou`, best score first.

    Overlap is the intersection over union, in [0, 1]; an `iou` of 1 keeps all. Equal scores are ordered by index,
    lower first. At most `count` are returned, None for all. Raises UsageError for shapes that do not match.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise UsageError(f"boxes and scores: got shapes {boxes.shape} and {scores.shape}; expected (R, 4) and (R,)")
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).T
    areas = (x1 - x0) * (y1 - y0)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and (count is None or len(kept) < count):
        best, order = order[0], order[1:]
        kept.append(int(best))
        across = np.minimum(x1[best], x1[order]) - np.maximum(x0[best], x0[order])
        down = np.minimum(y1[best], y1[order]) - np.maximum(y0[best], y0[order])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        # Written without a division: boxes without an area overlap nothing.
        order = order[shared <= iou * (areas[best] + areas[order] - shared)]
    return np.array(kept, dtype=np.int64)


def _check_image(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise UsageError(f"got an image of {width} × {height} pixels; expected at least 1 × 1")


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{name}: got {value!r}; expected a whole number of at least 1")
    return value


def _pixels(name: str, length: float, shorter: int) -> int:
    """Return a length in whole pixels, at least 1: up to 1 it is a fraction of `shorter`, above 1 it is in pixels."""
    if not 0 < length < inf:
        raise UsageError(
            f"{name}: got {length!r}; expected a fraction of the shorter side (up to 1), or pixels (above 1)"
        )
    return max(1, floor((length * shorter if length <= 1 else length) + 0.5))


def _equal_cells(width: int, height: int, cells: int) -> list[tuple[int, int, int, int]]:
    _check_image(width, height)
    xs, ys = _cell_edges(width, cells), _cell_edges(height, cells)
    return [(x0, y0, x1, y1) for y0, y1 in ys for x0, x1 in xs]


def _cell_edges(length: int, cells: int) -> list[tuple[int, int]]:
    """Divide `length` pixels into parts (begin, end) of equal length within one pixel, none empty."""
    edges = [(2 * k * length + cells) // (2 * cells) for k in range(cells + 1)]  # k · length / cells, rounded
    begins = [min(edge, length - 1) for edge in edges[:-1]]
    return [(begin, max(begin + 1, end)) for begin, end in zip(begins, edges[1:], strict=True)]


def _window_starts(length: int, side: int, step: int) -> list[int]:
    """Return the starts of windows of `side`: from 0 to length − side, evenly spaced, at most `step` apart."""
    gaps = -(-(length - side) // step)
    return [(2 * k * (length - side) + gaps) // (2 * gaps) for k in range(gaps + 1)] if gaps else [0]


def _with_levels(levels: list[list[tuple[int, int, int, int]]]) -> Regions:
    boxes = np.array([box for level in levels for box in level], dtype=np.int64)
    numbers = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    boxes.flags.writeable = numbers.flags.writeable = False
    return Regions(boxes, numbers)


def clipped(polygon: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """Return the corners (m, 2) of the part of a convex polygon (n, 2) that lies in a box; (0, 2) if none does.

    It is cut at one side after the other (Sutherland and Hodgman 1974).

    >>> clipped(np.array([(-1.0, 1.0), (1.0, 1.0), (1.0, 3.0), (-1.0, 3.0)]), (0, 0, 4, 2)).tolist()
    [[0.0, 2.0], [0.0, 1.0], [1.0, 1.0], [1.0, 2.0]]
    """
    x0, y0, x1, y1 = box
    for axis, sign, edge in ((0, 1, x0), (1, 1, y0), (0, -1, x1), (1, -1, y1)):
        within = sign * (polygon[:, axis] - edge)
        kept = []
        for at, here in enumerate(polygon):
            before = polygon[at - 1]
            if (within[at - 1] < 0) != (within[at] < 0):
                part = within[at - 1] / (within[at - 1] - within[at])
                kept.append(before + part * (here - before))
            if within[at] >= 0:
                kept.append(here)
        polygon = np.array(kept, np.float64).reshape(-1, 2)
        if not len(polygon):
            break
    return polygon
