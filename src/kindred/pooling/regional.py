"""Regional poolings: sums of the unit vectors of R-MAC's grid of regions, or of the cells of a pyramid."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from kindred.arrays import ArrayT, check_whole
from kindred.pooling.common import in_blocks, open_maps, sum_of_units
from kindred.pooling.gem import gem
from kindred.regions import rmac_grid, spatial_pyramid

__all__ = ["pyramid_gem", "pyramid_gem_cells", "rgem", "rgem_regions", "rmac", "rmac_regions"]

Spans: TypeAlias = list[tuple[int, int]]


def rmac(
    maps: ArrayT, *, levels: int = 3, whole: bool = False, whitening: Callable[[ArrayT], ArrayT] | None = None
) -> ArrayT:
    """Sum the unit MAC vectors of the R-MAC grid and normalise: (B, C, H, W) → (B, D).

    `whitening` maps the unit region vectors (B·R, C) to (B·R, D), as `PCAWhitening.transform` does; without it,
    D = C. Fit it on such vectors (`rmac_regions`, normalised) of other images; whitening only the sum performs
    worse. With `whole`, the whole map is a region too, as in the code of Radenović, Tolias and Chum 2018. Source:
    Tolias, Sicre and Jégou 2016.
    """
    return sum_of_units(rmac_regions(maps, levels=levels, whole=whole), whitening)


def rgem(
    maps: ArrayT,
    *,
    levels: int = 3,
    whole: bool = False,
    p: float = 3.0,
    eps: float = 1e-6,
    whitening: Callable[[ArrayT], ArrayT] | None = None,
) -> ArrayT:
    """Sum the unit GeM vectors of the R-MAC grid and normalise (regional GeM): (B, C, H, W) → (B, D).

    As `rmac`, with the generalised mean of each region instead of its maximum: `p` and `eps` are those of `gem`.
    Source: the grid of Tolias, Sicre and Jégou 2016 with the mean of Radenović, Tolias and Chum 2018.
    """
    return sum_of_units(rgem_regions(maps, levels=levels, whole=whole, p=p, eps=eps), whitening)


def pyramid_gem(
    maps: ArrayT,
    *,
    levels: int = 4,
    p: float = 3.0,
    eps: float = 1e-6,
    whitening: Callable[[ArrayT], ArrayT] | None = None,
) -> ArrayT:
    """Sum the unit GeM vectors of 1 × 1, 2 × 2, … `levels` × `levels` cells and normalise: (B, C, H, W) → (B, D).

    All cells are pooled from one map. Stored as rows (`aggregate = "multi_vector"`), of which the best match counts,
    they find small objects (Patchify; arXiv 2512.12610). `whitening` is as in `rmac`, `p` and `eps` are those of `gem`.
    """
    return sum_of_units(pyramid_gem_cells(maps, levels=levels, p=p, eps=eps), whitening)


def pyramid_gem_cells(maps: ArrayT, *, levels: int = 4, p: float = 3.0, eps: float = 1e-6) -> ArrayT:
    """Take the generalised mean of every channel in every cell of a spatial pyramid: (B, C, H, W) → (B, R, C).

    The cells are those of `kindred.regions.spatial_pyramid`, the whole map first; the vectors are not normalised.
    """
    check_whole(levels=levels)
    xp, x = open_maps(maps)
    boxes = spatial_pyramid(x.shape[3], x.shape[2], levels=levels).boxes.tolist()
    means = [gem(x[:, :, y0:y1, x0:x1], p=p, eps=eps) for x0, y0, x1, y1 in boxes]
    cells: ArrayT = xp.stack(means, axis=1)
    return cells


def rgem_regions(maps: ArrayT, *, levels: int = 3, whole: bool = False, p: float = 3.0, eps: float = 1e-6) -> ArrayT:
    """Take the generalised mean of every channel in every region of the R-MAC grid: (B, C, H, W) → (B, R, C).

    The regions are those of `kindred.regions.rmac_grid`, in that order; the vectors are not normalised.
    """
    check_whole(levels=levels)
    xp, x = open_maps(maps)
    boxes = rmac_grid(x.shape[3], x.shape[2], levels=levels, whole=whole).tolist()
    means = [gem(x[:, :, y0:y1, x0:x1], p=p, eps=eps) for x0, y0, x1, y1 in boxes]
    regions: ArrayT = xp.stack(means, axis=1)
    return regions


def rmac_regions(maps: ArrayT, *, levels: int = 3, whole: bool = False) -> ArrayT:
    """Take the largest value of every channel in every region of the R-MAC grid: (B, C, H, W) → (B, R, C).

    The regions are those of `kindred.regions.rmac_grid`, in that order; the vectors are not normalised.
    """
    check_whole(levels=levels)
    xp, x = open_maps(maps)
    batch, channels, height, width = x.shape
    columns, rows, spans = _rmac_plan(width, height, levels, whole)

    def largest(x: Any) -> Any:
        # The borders of all regions cut the map into tiles: every cell is read once, for the maximum of its tile,
        # and regions share tiles. Rows come first, because whole rows can be compared at once.
        bands = xp.stack([_row_maximum(xp, x, y0 * width, (y1 - y0), width) for y0, y1 in rows])
        tiles = [reduce(xp.maximum, [bands[..., i] for i in range(*column)]) for column in columns]
        grid = xp.stack(tiles, axis=1)
        return xp.stack([xp.max(grid[y0:y1, x0:x1], axis=(0, 1)) for x0, y0, x1, y1 in spans])

    maxima = in_blocks(largest, xp.reshape(x, (batch * channels, height * width)), step=2**11)
    regions: ArrayT = xp.permute_dims(xp.reshape(maxima, (len(spans), batch, channels)), (1, 0, 2))
    return regions


def _row_maximum(xp: Any, x: Any, first: int, count: int, width: int) -> Any:
    """Return the maximum over `count` rows of `width` cells that begin at cell `first`: (M, H·W) → (M, W).

    One half of the rows is compared with the other, recursively: few operations on long contiguous runs.
    """
    if count == 1:
        return x[:, first : first + width]
    half = count // 2 * width
    halves = xp.maximum(x[:, first : first + half], x[:, first + half : first + 2 * half])
    maximum = _row_maximum(xp, halves, 0, count // 2, width)
    return xp.maximum(maximum, x[:, first + 2 * half : first + 2 * half + width]) if count % 2 else maximum


@lru_cache(maxsize=1024)
def _rmac_plan(
    width: int, height: int, levels: int, whole: bool
) -> tuple[Spans, Spans, list[tuple[int, int, int, int]]]:
    """Return the columns and rows of tiles, as (first cell, end), and the box of every region in tiles."""
    boxes = rmac_grid(width, height, levels=levels, whole=whole)
    xs, ys = np.unique(boxes[:, 0::2]), np.unique(boxes[:, 1::2])
    spans = np.stack([np.searchsorted(side, boxes[:, i]) for i, side in enumerate((xs, ys, xs, ys))], axis=1)
    return list(pairwise(xs.tolist())), list(pairwise(ys.tolist())), [tuple(box) for box in spans.tolist()]
