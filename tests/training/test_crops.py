"""Crops: decided by the seed alone, and of the images that can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.errors import TrainingError
from kindred.training.crops import CropPool, load_pool


def test_crops_depend_on_the_seed_alone(pool: CropPool) -> None:
    first = pool.crops(5, 32, seed=[1, 2])
    assert first.shape == (5, 32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, pool.crops(5, 32, seed=[1, 2]))
    assert not np.array_equal(first, pool.crops(5, 32, seed=[1, 3]))


def test_a_crop_of_one_colour_keeps_it_up_to_gain_and_shift() -> None:
    crops = CropPool([np.full((50, 70, 3), 100, np.uint8)]).crops(20, 16, seed=[0])
    for crop in crops:
        assert len(np.unique(crop.reshape(-1, 3), axis=0)) == 1
    low, high = 100 * 0.7 * 0.8 - 26, 100 * 1.3 * 1.2 + 26
    assert low <= crops.min() <= crops.max() <= high


def test_an_image_of_one_pixel_gives_a_crop() -> None:
    assert CropPool([np.zeros((1, 1, 3), np.uint8)]).crops(1, 8, seed=[0]).shape == (1, 8, 8, 3)


def test_a_pool_leaves_out_bad_and_excluded_images(tmp_path: Path) -> None:
    for index in range(18):
        Image.new("RGB", (400, 200), (index, 0, 0)).save(tmp_path / f"{index:02}.png")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "left").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "left" / "out.png")
    seen: list[int] = []
    pool = load_pool([tmp_path], exclude=["left/*"], longest=100, progress=seen.append)
    assert len(pool) == 18
    assert seen[-1] == 19


def test_too_few_images_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    with pytest.raises(TrainingError, match="1 usable images; training needs at least 16"):
        load_pool([tmp_path])
