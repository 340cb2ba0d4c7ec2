from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.regions import rmac_grid

Level = tuple[int, list[int], list[int]]
"""The side of the squares, where they begin along x, where along y."""

# Computed from the formula of the authors' code, region vectors of Tolias et al. 2016.
VECTORS: dict[tuple[int, int], list[Level]] = {
    (14, 14): [(14, [0], [0]), (9, [0, 5], [0, 5]), (7, [0, 3, 7], [0, 3, 7])],
    (7, 7): [(7, [0], [0]), (4, [0, 3], [0, 3]), (3, [0, 2, 4], [0, 2, 4])],
    (32, 24): [(24, [0, 8], [0]), (16, [0, 8, 16], [0, 8]), (12, [0, 6, 13, 20], [0, 6, 12])],
    (32, 21): [(21, [0, 11], [0]), (14, [0, 9, 18], [0, 7]), (10, [0, 7, 14, 22], [0, 5, 11])],
    (10, 7): [(7, [0, 3], [0]), (4, [0, 3, 6], [0, 3]), (3, [0, 2, 4, 7], [0, 2, 4])],
}


@pytest.mark.parametrize("size", VECTORS)
def test_published_grids(size: tuple[int, int]) -> None:
    expected = [[x, y, x + side, y + side] for side, xs, ys in VECTORS[size] for y in ys for x in xs]
    assert rmac_grid(*size).tolist() == expected


@pytest.mark.parametrize(
    ("size", "count"),
    [((14, 14), 14), ((7, 7), 14), ((32, 24), 20), ((32, 21), 20), ((48, 12), 44), ((10, 7), 20)],
)
def test_published_numbers_of_regions(size: tuple[int, int], count: int) -> None:
    assert len(rmac_grid(*size)) == count
    assert len(rmac_grid(*size[::-1])) == count


def test_first_level_of_a_long_map() -> None:
    assert rmac_grid(48, 12, levels=1)[:, 0].tolist() == [0, 7, 14, 21, 28, 36]


def test_standing_map_is_the_lying_one_turned() -> None:
    lying, standing = rmac_grid(32, 21), rmac_grid(21, 32)
    assert {tuple(box) for box in standing.tolist()} == {(y0, x0, y1, x1) for x0, y0, x1, y1 in lying.tolist()}


def test_the_last_region_may_fall_one_short_of_the_border() -> None:
    second = rmac_grid(63, 4, levels=2)[rmac_grid(63, 4, levels=1).shape[0] :]
    assert second[:, 0].max() == 60  # not 61: 7 · (61 / 7) is below 61 in double precision


@pytest.mark.parametrize("height", [15, 16])
def test_half_a_side_decides_how_a_position_rounds(height: int) -> None:
    # Without it, ⌊7 · (61 / 7)⌋ = 60; with it, the sum rounds up to a whole number.
    second = rmac_grid(71, height, levels=2)[rmac_grid(71, height, levels=1).shape[0] :]
    assert second[:, 0].max() == 71 - 2 * height // 3


def _extra_steps(width: int, height: int, dtype: type[np.floating[Any]]) -> int:
    """How many more regions the longer side gets, in the arithmetic of `dtype`, straight from the formula."""
    if width == height:
        return 0
    w = dtype(min(width, height))
    b = dtype(max(width, height) - min(width, height)) / np.arange(1, 7).astype(dtype)
    misses: NDArray[np.floating[Any]] = np.abs((w**2 - w * b) / w**2 - dtype(0.4))
    return int(np.argmin(misses)) + 1


def test_ties_are_decided_in_double_precision() -> None:
    sizes = [(width, height) for width in range(4, 101) for height in range(4, 101)]
    differing = set()
    for size in sizes:
        steps = _extra_steps(*size, np.float64)
        assert len(rmac_grid(*size, levels=1)) == 1 + steps
        if steps != _extra_steps(*size, np.float32):
            differing.add(size)
    assert len(differing) == 34
    assert {(9, 5), (18, 10), (47, 11)} <= differing


def test_regions_are_squares_inside_the_map() -> None:
    for width in range(1, 41):
        for height in range(1, 41):
            x0, y0, x1, y1 = rmac_grid(width, height, levels=4).T
            assert (x1 - x0 == y1 - y0).all()
            assert (x1 > x0).all()
            assert min(x0.min(), y0.min()) == 0
            assert x1.max() <= width
            assert y1.max() <= height


@pytest.mark.parametrize(("size", "count"), [((1, 1), 1), ((5, 1), 7), ((2, 2), 14)])
def test_tiny_maps_have_only_levels_that_fit(size: tuple[int, int], count: int) -> None:
    grid = rmac_grid(*size)
    assert len(grid) == count
    assert (grid[:, 2] - grid[:, 0] >= 1).all()


def test_the_grid_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        rmac_grid(14, 14)[0, 0] = 1


@pytest.mark.parametrize(("width", "height", "levels"), [(0, 4, 3), (4, -1, 3), (4, 4, 0)])
def test_sizes_below_one(width: int, height: int, levels: int) -> None:
    with pytest.raises(UsageError, match="expected at least 1 of each"):
        rmac_grid(width, height, levels=levels)
