"""Keypoints of a score map, and descriptors sampled from a map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.features.maps import keypoints_of, sample


def _bumps(places: list[tuple[float, float, float]], height: int = 40, width: int = 60) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width]
    scores = np.zeros((height, width))
    for px, py, strength in places:
        scores += strength * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 3)
    return scores.astype(np.float32)


def test_maxima_are_ordered_by_score_and_refined_to_subpixels() -> None:
    places = [(10.0, 12.0, 0.5), (30.4, 20.3, 0.9), (50.0, 30.0, 0.7)]
    points, strengths = keypoints_of(_bumps(places), count=2)
    assert points == pytest.approx(np.array([(30.4, 20.3), (50, 30)]), abs=0.12)
    assert abs(float(points[0, 0]) - 30) > 0.2  # finer than the pixel
    assert strengths.tolist() == sorted(strengths.tolist(), reverse=True)
    assert len(keypoints_of(_bumps(places), count=10)[0]) == 3


def test_borders_plateaus_and_values_that_are_not_finite() -> None:
    assert len(keypoints_of(_bumps([(2.0, 20.0, 1.0), (59.0, 39.0, 1.0)]), count=5)[0]) == 0
    plateau = np.zeros((30, 30), np.float32)
    plateau[10:13, 10:13] = 1.0
    points, _ = keypoints_of(plateau, count=5)
    assert len(points) == 1
    hostile = np.full((30, 30), np.nan, np.float32)
    hostile[15, 15] = 0.5
    hostile[20, 8] = np.inf
    points, _ = keypoints_of(hostile, count=5)
    assert points.tolist() == [[15.0, 15.0]]


@pytest.mark.parametrize("shape", [(0, 0), (1, 50), (6, 6), (7, 7)])
def test_maps_that_are_too_small_have_few_keypoints(shape: tuple[int, int]) -> None:
    points, strengths = keypoints_of(np.ones(shape, np.float32), count=5)
    assert len(points) == len(strengths) <= 1


def test_maxima_keep_their_distance() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (50, 50)) / 4  # many are equal
    points, _ = keypoints_of(scores.astype(np.float32), count=500)
    rounded = np.unique(points.round(), axis=0)
    assert len(rounded) > 20


def test_sampling_interpolates_between_cells() -> None:
    y, x = np.mgrid[:5, :7].astype(np.float32)
    map_ = np.stack((x + 1, y + 1, np.ones_like(x)))
    points = np.array([(8.0, 16.0), (12.0, 4.0)], np.float32)
    found = sample(map_, points, stride=8, centre=0.0)
    for row, (px, py) in zip(found, points.tolist(), strict=True):
        expected = np.array((px / 8 + 1, py / 8 + 1, 1))
        assert row == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_sampling_repeats_the_values_of_the_border() -> None:
    map_ = np.random.default_rng(1).random((4, 3, 3), np.float32)
    far = sample(map_, np.array([(1e6, -50.0)], np.float32), stride=8, centre=3.5)[0]
    corner = map_[:, 0, 2]
    assert far == pytest.approx(corner / np.linalg.norm(corner), abs=1e-5)
    assert sample(map_[:, :1, :1], np.array([(5.0, 5.0)], np.float32), stride=8, centre=0).shape == (1, 4)
