from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import MissingExtra, UsageError
from kindred.features import sift
from kindred.features.sift import root_sift

pytest.importorskip("cv2")

Image = NDArray[np.uint8]


def _blobs(width: int, height: int, centres: list[tuple[float, float]], sigma: float = 4.0) -> Image:
    """Bright Gaussian blobs on grey; centres in pixels, (0.5, 0.5) being the middle of the first pixel."""
    y, x = np.mgrid[:height, :width] + 0.5
    grey = np.full((height, width), 60.0)
    for number, (cx, cy) in enumerate(centres):
        grey += (150 - 20 * number) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _noise(width: int, height: int, seed: int = 0) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def test_points_are_counted_from_the_corner_of_the_first_pixel() -> None:
    found = sift(_blobs(160, 120, [(50.5, 40.5)]))
    nearest = np.abs(found.points - (50.5, 40.5)).max(axis=1).min()
    assert nearest < 0.1  # a half-pixel shift would be 0.5, the imprecise upscaling 0.25


@pytest.mark.parametrize(("longest", "tolerance"), [(320, 0.25), (160, 0.5), (107, 1.0)])
def test_points_of_a_reduced_image_are_pixels_of_the_given_one(longest: int, tolerance: float) -> None:
    found = sift(_blobs(320, 240, [(101.25, 77.75)], sigma=9.0), longest=longest)
    assert np.abs(found.points - (101.25, 77.75)).max(axis=1).min() < tolerance
    assert found.frame == pytest.approx((0, 0, 320, 240))


def test_at_most_count_keypoints_strongest_first() -> None:
    image = _blobs(200, 100, [(30, 50), (90, 50), (150, 50)])
    found = sift(image, count=3)
    assert len(found) == 3
    assert np.abs(found.points[0] - (30, 50)).max() < 0.3
    np.testing.assert_array_equal(sift(image, count=1).points, found.points[:1])


def test_keypoints_are_distinct() -> None:
    found = sift(_noise(320, 240))
    rows = np.concatenate([found.points, found.scales[:, None], found.descriptors], axis=1)
    assert len(np.unique(rows, axis=0)) == len(found) > 50


def test_scales_grow_with_the_blob() -> None:
    small, large = (sift(_blobs(320, 240, [(160, 120)], sigma=s)) for s in (4.0, 8.0))
    centre = [each.scales[np.abs(each.points - (160, 120)).max(axis=1).argmin()] for each in (small, large)]
    assert centre[1] / centre[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (64, 64)])
def test_an_image_without_keypoints_gives_no_features(shape: tuple[int, int]) -> None:
    found = sift(np.full((*shape, 3), 128, np.uint8))
    assert len(found) == 0
    assert found.descriptors.shape == (0, 128)
    assert found.points.dtype == found.scales.dtype == np.float32


def test_the_same_image_gives_the_same_features() -> None:
    first, second = (sift(_noise(160, 120, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(first.descriptors, second.descriptors)
    np.testing.assert_array_equal(first.points, second.points)


def test_root_sift_equals_its_definition() -> None:
    histograms = np.random.default_rng(0).integers(0, 120, (5, 128)).astype(np.float32)
    histograms[1] = 0
    histograms[2, :2] = 5000  # a component that a byte cannot hold
    for row, stored in zip(histograms.tolist(), root_sift(histograms).tolist(), strict=True):
        total = sum(row)
        literal = [min(255, round(512 * math.sqrt(h / total))) if total else 0 for h in row]
        assert stored == literal


def test_descriptors_are_unit_vectors_times_512() -> None:
    found = sift(_noise(320, 240, seed=1))
    norms = np.linalg.norm(found.descriptors.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 512, rtol=0.02)


@pytest.mark.parametrize("options", [{"count": 0}, {"longest": 0}, {"contrast": 0.0}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        sift(_noise(64, 64), **options)


def test_without_opencv_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match="pip install opencv-python-headless"):
        sift(_noise(64, 64))
