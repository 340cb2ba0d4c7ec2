from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kindred.errors import RecipeError, UsageError
from kindred.regions import (
    REGIONS,
    Boxes,
    Regions,
    boxes_to_pixels,
    clipped,
    connected_components,
    dense_windows,
    divide,
    non_maximum_suppression,
    rigid_grid,
    rmac_grid,
    spatial_pyramid,
)

Level = tuple[int, list[int], list[int]]
"""The side of the squares, and their starts along x and along y."""

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


def test_a_transposed_map_gives_the_transposed_grid() -> None:
    lying, standing = rmac_grid(32, 21), rmac_grid(21, 32)
    assert {tuple(box) for box in standing.tolist()} == {(y0, x0, y1, x1) for x0, y0, x1, y1 in lying.tolist()}


def test_the_last_region_may_end_one_cell_before_the_border() -> None:
    second = rmac_grid(63, 4, levels=2)[rmac_grid(63, 4, levels=1).shape[0] :]
    assert second[:, 0].max() == 60  # not 61: 7 · (61 / 7) is below 61 in double precision


@pytest.mark.parametrize("height", [15, 16])
def test_positions_are_rounded_as_in_the_authors_code(height: int) -> None:
    # Without it, ⌊7 · (61 / 7)⌋ = 60; with it, the sum rounds up to a whole number.
    second = rmac_grid(71, height, levels=2)[rmac_grid(71, height, levels=1).shape[0] :]
    assert second[:, 0].max() == 71 - 2 * height // 3


def _extra_steps(width: int, height: int, dtype: type[np.floating[Any]]) -> int:
    """The number of additional regions along the longer side, by the formula in the precision of `dtype`."""
    if width == height:
        return 0
    w = dtype(min(width, height))
    b = dtype(max(width, height) - min(width, height)) / np.arange(1, 7).astype(dtype)
    misses: NDArray[np.floating[Any]] = np.abs((w**2 - w * b) / w**2 - dtype(0.4))
    return int(np.argmin(misses)) + 1


def test_ties_are_resolved_in_double_precision() -> None:
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


def test_the_grid_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        rmac_grid(14, 14)[0, 0] = 1


@pytest.mark.parametrize(("width", "height", "levels"), [(0, 4, 3), (4, -1, 3), (4, 4, 0)])
def test_sizes_below_one(width: int, height: int, levels: int) -> None:
    with pytest.raises(UsageError, match="expected at least 1 of each"):
        rmac_grid(width, height, levels=levels)


SIZES = [(1, 1), (1, 1000), (1000, 1), (2, 3), (7, 5), (320, 240), (240, 320), (256, 256), (4000, 100)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", REGIONS)
def test_contract_of_every_scheme(name: str, size: tuple[int, int]) -> None:
    boxes, levels = divide(*size, name)
    assert boxes.dtype == levels.dtype == np.dtype(np.int64)
    assert boxes.shape == (len(levels), 4)
    assert 1 <= len(boxes) <= 256
    x0, y0, x1, y1 = boxes.T
    assert (x0 >= 0).all()
    assert (y0 >= 0).all()
    assert (x1 > x0).all()
    assert (y1 > y0).all()
    for level in np.unique(levels):  # each level covers the image
        assert _covered(boxes[levels == level], size).all()
    assert levels.tolist() == sorted(levels)
    assert set(levels.tolist()) == set(range(levels.max() + 1))
    assert x1.max() == size[0]
    assert y1.max() == size[1]
    for array in (boxes, levels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def _covered(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.bool_]:
    image = np.zeros(size[::-1], bool)
    for x0, y0, x1, y1 in boxes.tolist():
        image[y0:y1, x0:x1] = True
    return image


def test_grid() -> None:
    boxes, levels = rigid_grid(12, 6, cells=3)
    assert boxes.tolist() == [[x, y, x + 4, y + 2] for y in (0, 2, 4) for x in (0, 4, 8)]
    assert levels.tolist() == [0] * 9
    assert rigid_grid(10, 10).boxes[:3].tolist() == [[0, 0, 3, 3], [3, 0, 7, 3], [7, 0, 10, 3]]
    assert rigid_grid(2, 1, cells=3).boxes[:3].tolist() == [[0, 0, 1, 1], [1, 0, 2, 1], [1, 0, 2, 1]]


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 6))
def test_cells_of_a_grid_are_equal_within_a_pixel(width: int, height: int, cells: int) -> None:
    boxes, _ = rigid_grid(width, height, cells=cells)
    assert len(boxes) == cells**2
    for length, begin, end in ((width, 0, 2), (height, 1, 3)):
        sides = boxes[:, end] - boxes[:, begin]
        assert sides.max() - sides.min() <= 1
        if length >= cells:
            edges = np.unique(boxes[:, [begin, end]])
            assert edges.tolist() == [int(k * length / cells + 0.5) for k in range(cells + 1)]


def test_the_pyramid_consists_of_grids_from_coarse_to_fine() -> None:
    boxes, levels = spatial_pyramid(90, 61)
    assert levels.tolist() == [0] + [1] * 4 + [2] * 9
    assert boxes[0].tolist() == [0, 0, 90, 61]
    for level in range(3):
        assert np.array_equal(boxes[levels == level], rigid_grid(90, 61, cells=level + 1).boxes)


def test_windows_of_mop_cnn() -> None:
    boxes, levels = dense_windows(256, 256, sizes=(1.0, 0.5, 0.25), stride=0.125)
    assert boxes[levels == 0].tolist() == [[0, 0, 256, 256]]
    for level, side in ((1, 128), (2, 64)):
        starts = range(0, 256 - side + 1, 32)
        assert boxes[levels == level].tolist() == [[x, y, x + side, y + side] for y in starts for x in starts]
    pixels = dense_windows(256, 256, sizes=(256.0, 128.0, 64.0), stride=32.0)
    assert np.array_equal(pixels.boxes, boxes)


def test_windows_extend_to_the_far_border() -> None:
    boxes, _ = dense_windows(100, 60)  # side 30, at most 15 apart
    assert np.unique(boxes[:, 0]).tolist() == [0, 14, 28, 42, 56, 70]
    assert np.unique(boxes[:, 1]).tolist() == [0, 15, 30]
    assert len(boxes) == 18


@settings(deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.floats(0.05, 150), st.floats(0.05, 150))
def test_windows_are_squares_at_most_stride_apart(width: int, height: int, size: float, stride: float) -> None:
    boxes, _ = dense_windows(width, height, sizes=(size,), stride=stride)
    shorter = max(min(width, height), -(-max(width, height) // 8))
    side, step = (max(1, int((x * shorter if x <= 1 else x) + 0.5)) for x in (size, stride))
    assert (boxes[:, 2:] - boxes[:, :2] == [min(side, width), min(side, height)]).all()
    for length, axis in ((width, 0), (height, 1)):
        starts = np.unique(boxes[:, axis])
        assert starts[0] == 0
        assert starts[-1] == length - min(side, length)
        gaps = [after - before for before, after in pairwise(starts.tolist())]
        assert max(gaps, default=0) <= step + 1  # evenly: a gap is rounded to whole pixels
        assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_an_image_smaller_than_a_window_is_one_window() -> None:
    assert dense_windows(50, 40, sizes=(128.0,), stride=32.0).boxes.tolist() == [[0, 0, 50, 40]]
    assert dense_windows(200, 40, sizes=(128.0,), stride=72.0).boxes.tolist() == [[0, 0, 128, 40], [72, 0, 200, 40]]


def test_fractions_on_a_very_long_image() -> None:
    boxes, _ = dense_windows(1000, 1)  # as if 125 pixels wide
    assert len(boxes) == 32
    assert boxes[0].tolist() == [0, 0, 63, 1]


def test_divide_accepts_names_lists_and_functions() -> None:
    listed = divide(256, 200, "dense", sizes=[0.5, 0.25], stride=0.25)
    assert np.array_equal(listed.boxes, dense_windows(256, 200, sizes=(0.5, 0.25), stride=0.25).boxes)

    def left(width: int, height: int, *, share: float) -> Regions:
        return Regions(np.array([[0, 0, int(share * width), height]]), np.zeros(1, np.int64))

    assert divide(10, 4, left, share=0.5).boxes.tolist() == [[0, 0, 5, 4]]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("gird", {}, RecipeError, "unknown regions 'gird'; did you mean 'grid'\\?"),
        ("xyz", {}, RecipeError, "known: grid, pyramid, dense"),
        ("grid", {"cell": 2}, RecipeError, "regions 'grid': unknown option 'cell'; did you mean 'cells'\\?"),
        ("grid", {"cells": 0}, UsageError, "cells: got 0; expected a whole number of at least 1"),
        ("pyramid", {"levels": 1.5}, UsageError, "levels: got 1.5; expected a whole number"),
        ("dense", {"sizes": []}, UsageError, "sizes: got none; expected at least one"),
        ("dense", {"sizes": [0.5, 0]}, UsageError, "sizes: got 0; expected a fraction of the shorter side"),
        ("dense", {"stride": float("inf")}, UsageError, "stride: got inf; expected a fraction"),
    ],
)
def test_divide_refuses_wrong_arguments(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        divide(64, 48, name, **options)


@pytest.mark.parametrize("name", REGIONS)
def test_images_without_pixels(name: str) -> None:
    with pytest.raises(UsageError, match="got an image of 0 × 5 pixels; expected at least 1 × 1"):
        divide(0, 5, name)


def test_boxes_to_pixels() -> None:
    boxes = np.array([[0, 0, 10, 8], [2.5, 1, 3, 1.5], [3, 3, 3, 3], [-1, 7.5, 12, 9], [10, 8, 10, 8]])
    assert boxes_to_pixels(boxes, (10, 8), (320, 250)).tolist() == [
        [0, 0, 320, 250],
        [80, 31, 96, 47],  # outwards: 31.25 and 46.875
        [96, 93, 97, 94],  # never empty
        [0, 234, 320, 250],
        [319, 249, 320, 250],
    ]
    assert boxes_to_pixels(boxes[:0], (10, 8), (320, 250)).shape == (0, 4)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 2000))
def test_the_whole_map_is_the_whole_image(cells: int, pixels: int) -> None:
    whole = np.array([[0, 0, cells, cells]], np.float32)
    assert boxes_to_pixels(whole, (cells, cells), (pixels, pixels)).tolist() == [[0, 0, pixels, pixels]]


def _literal_suppression(boxes: list[list[float]], scores: list[float], iou: float) -> list[int]:
    kept: list[int] = []
    for at in sorted(range(len(boxes)), key=lambda at: (-scores[at], at)):
        if all(_iou(boxes[at], boxes[better]) <= iou for better in kept):
            kept.append(at)
    return kept


def _iou(a: list[float], b: list[float]) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across * down
    return across * down / union


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.6, 1.0])
def test_suppression_equals_a_loop(iou: float) -> None:
    random = np.random.default_rng(5)
    for count in (0, 1, 2, 60):
        corners = random.integers(0, 12, (count, 2))
        boxes = np.concatenate([corners, corners + random.integers(1, 9, (count, 2))], axis=1)
        scores = random.integers(0, 6, count) / 6  # many equal ones
        kept = non_maximum_suppression(boxes, scores, iou=iou)
        assert kept.tolist() == _literal_suppression(boxes.tolist(), scores.tolist(), iou)
        assert non_maximum_suppression(boxes, scores, iou=iou, count=3).tolist() == kept[:3].tolist()


def test_suppression_keeps_boxes_of_small_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 7], [20, 20, 21, 21]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8, 0.7, 0.1])).tolist() == [0, 1, 3]  # 0.6 is not above 0.6
    with pytest.raises(UsageError, match=r"got shapes \(4, 4\) and \(3,\); expected"):
        non_maximum_suppression(boxes, np.ones(3))


def _flood(mask: NDArray[np.bool_], first: int, connectivity: int) -> tuple[NDArray[np.int64], int]:
    """Label the components of one mask from `first` on, by a flood fill."""
    parts = np.zeros(mask.shape, np.int64)
    for start in zip(*np.nonzero(mask), strict=True):
        if parts[start]:
            continue
        waiting = [start]
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not parts[y, x]:
                parts[y, x] = first
                waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
                if connectivity == 8:
                    waiting += [(y + 1, x + 1), (y - 1, x + 1), (y + 1, x - 1), (y - 1, x - 1)]
        first += 1
    return parts, first


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 7), st.integers(1, 7))), st.sampled_from([4, 8]))
def test_connected_components_equal_a_flood_fill(masks: NDArray[np.bool_], connectivity: int) -> None:
    first, expected = 1, np.zeros(masks.shape, np.int64)
    for at, mask in enumerate(masks):
        expected[at], first = _flood(mask, first, connectivity)
    assert np.array_equal(connected_components(masks, connectivity=connectivity), expected)


def test_option_whole() -> None:
    assert rmac_grid(7, 7, whole=True).tolist() == [[0, 0, 7, 7], *rmac_grid(7, 7).tolist()]
    assert rmac_grid(10, 7, levels=1, whole=True).tolist() == [[0, 0, 10, 7], [0, 0, 7, 7], [3, 0, 10, 7]]


def test_a_long_winding_component() -> None:
    mask = np.ones((1, 41, 41), bool)
    mask[0, 1::4, 1:] = mask[0, 3::4, :-1] = False
    assert np.array_equal(connected_components(mask), mask)


class TestClipped:
    @pytest.mark.parametrize("seed", range(20))
    def test_holds_the_points_that_are_in_both(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        angles = np.sort(random.random(5)) * 2 * np.pi
        polygon = 4 * np.stack((np.cos(angles), np.sin(angles)), axis=1) + random.normal(size=2)
        box = (-2.0, -1.0, 3.0, 2.5)
        cut = clipped(polygon, box)
        points = random.random((2000, 2)) * 12 - 6
        x, y = points.T
        in_both = _in_convex(polygon, points) & (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
        assert len(cut) == 0 if not in_both.any() else (_in_convex(cut, points) == in_both).all()

    def test_inside_it_is_unchanged_and_outside_nothing_is_left(self) -> None:
        square = np.array([(1.0, 1), (2, 1), (2, 2), (1, 2)])
        assert clipped(square, (0, 0, 5, 5)).tolist() == square.tolist()
        assert clipped(square, (3, 3, 5, 5)).shape == (0, 2)


def _in_convex(polygon: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are on the left of every edge of a polygon that goes round counter-clockwise."""
    inside = np.ones(len(points), np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        inside &= (x1 - x0) * (points[:, 1] - y0) - (y1 - y0) * (points[:, 0] - x0) >= 0
    return inside
