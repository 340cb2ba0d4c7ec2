"""Augmentation: crops of the right size, the same for the same generator, within what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.training.augment import Augmentation, degraded
from pictures import picture

PLAIN = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False, colour=0)


def _crops(augmentation: Augmentation, image: NDArray[np.uint8], count: int, size: int = 32) -> NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    return np.stack([augmentation.crop(image, size, rng) for _ in range(count)])


def _ramps(height: int, width: int) -> NDArray[np.uint8]:
    """An image whose red is its column and whose green is its row, both from 0 to 250."""
    x, y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    return np.stack([x, y, np.full_like(x, 100)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("size", [32, 47, 200])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (1, 1), (1, 1000), (1000, 1), (15, 17), (3, 40)])
def test_every_image_gives_crops_of_the_size(height: int, width: int, size: int) -> None:
    image = picture(1, width=max(width, 8), height=max(height, 8))[:height, :width]
    crops = _crops(Augmentation(coarse=0.5), image, 8, size)
    assert crops.shape == (8, size, size, 3)
    assert crops.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    low=st.floats(0.001, 1),
    high=st.floats(0.001, 1),
    aspect=st.floats(1, 10),
    colour=st.floats(0, 0.99),
    coarse=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_all_that_may_be_asked_for_works(
    height: int, width: int, low: float, high: float, aspect: float, colour: float, coarse: float, seed: int
) -> None:
    chosen = Augmentation(area=(min(low, high), max(low, high)), aspect=aspect, colour=colour, coarse=coarse)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    crop = chosen.crop(image, 32, np.random.default_rng(seed))
    assert crop.shape == (32, 32, 3)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(crop, chosen.crop(image, 32, np.random.default_rng(seed)))


def test_crops_follow_from_the_generator_alone() -> None:
    image = picture(2)
    first, again = (_crops(Augmentation(), image, 6) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first.reshape(6, -1), axis=0)) == 6
    assert not np.array_equal(first[0], Augmentation().crop(image, 32, np.random.default_rng(6)))


def test_nothing_changed_is_the_image_itself() -> None:
    image = picture(3, width=32, height=32)
    np.testing.assert_array_equal(PLAIN.crop(image, 32, np.random.default_rng(0)), image)


def test_a_crop_shows_the_share_that_was_asked_for() -> None:
    image = _ramps(400, 400)
    shares = []
    for crop in _crops(Augmentation(area=(0.2, 0.5), flip=False, colour=0), image, 60).astype(float):
        wide, high = (np.ptp(crop[:, :, channel]) / 250 * 32 / 31 for channel in (0, 1))
        assert 0.7 < wide / high < 1.42
        shares.append(wide * high)
    assert 0.17 < min(shares) < 0.25
    assert 0.42 < max(shares) < 0.53


def test_a_crop_is_of_a_different_place_each_time() -> None:
    crops = _crops(Augmentation(area=(0.25, 0.25), aspect=1.0, flip=False, colour=0), _ramps(400, 400), 60)
    corners = crops[:, 0, 0, :2].astype(int)
    assert (corners.min(axis=0) < 15).all()
    assert (corners.max(axis=0) > 105).all()


def test_no_flip_keeps_left_and_right() -> None:
    def falls(crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray(crops[:, 16, 31, 0].astype(int) < crops[:, 16, 0, 0])

    image = _ramps(100, 100)
    assert not falls(_crops(Augmentation(flip=False), image, 40)).any()
    assert 8 < falls(_crops(Augmentation(), image, 40)).sum() < 32
    down = _crops(Augmentation(), image, 40)[:, [0, 31], 16, 1].astype(int)
    assert (down[:, 0] < down[:, 1]).all()


def test_colour_changes_the_channels_apart_and_no_further_than_told() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    crops = _crops(Augmentation(colour=0.2), grey, 200)
    assert np.ptp(crops, axis=(1, 2)).max() == 0  # each crop is of one colour
    values = crops[:, 0, 0].astype(float)
    low, high = 100 * 0.8 * 0.9 - 17, 100 * 1.2 * 1.1 + 17
    assert low - 1 <= values.min() < 75
    assert 125 < values.max() <= high + 1
    assert np.ptp(values, axis=1).max() > 20
    assert values.mean() == pytest.approx(100, abs=4)
    np.testing.assert_array_equal(_crops(Augmentation(colour=0), grey, 3), 100)


def test_some_crops_are_coarse() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sharp = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False, colour=0)
    coarse = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False, colour=0, coarse=1.0)
    details = [_crops(each, noise, 20, 64).std(axis=(1, 2, 3)) for each in (sharp, coarse)]
    assert details[0].min() > 70
    assert details[1].mean() < 55


@pytest.mark.parametrize(
    "options",
    [
        *({"area": area} for area in ((0.0, 1.0), (0.5, 0.3), (0.5, 1.1), (-1.0, 1.0), (float("nan"), 1.0))),
        *({"aspect": aspect} for aspect in (0.9, float("nan"), float("inf"))),
        *({"colour": colour} for colour in (-0.1, 1.0, float("nan"))),
        *({"coarse": coarse} for coarse in (-0.1, 1.1, float("nan"))),
    ],
    ids=str,
)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"expected 0 < area <= 1, aspect >= 1, colour in \[0, 1\) and coarse in \[0"):
        Augmentation(**options)


def test_a_degraded_crop_has_lost_detail_and_keeps_its_place() -> None:
    rng = np.random.default_rng(0)
    checks = np.where(np.indices((64, 64)).sum(axis=0) % 2, 255, 0).astype(np.uint8)
    halves = np.where(np.arange(64) < 32, 60, 180).astype(np.uint8)
    fine, plain = np.repeat(checks[..., None], 3, axis=2), np.broadcast_to(halves[None, :, None], (64, 64, 3)).copy()
    for _ in range(20):
        assert degraded(fine, rng, colour=0).std() < 0.9 * fine.std()
        worse = degraded(plain, rng).astype(int)
        assert worse.shape == plain.shape
        assert (worse[:, 40:].mean(axis=(0, 1)) > worse[:, :24].mean(axis=(0, 1)) + 20).all()
