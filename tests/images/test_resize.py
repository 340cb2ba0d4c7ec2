from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kindred.errors import UsageError
from kindred.images import crop, resize, stretch, thumbnail_jpeg

if TYPE_CHECKING:
    from images.conftest import Pixels

sides = st.integers(1, 300)


@pytest.mark.parametrize(
    ("size", "longest", "multiple", "enlarge", "expected"),
    [
        ((480, 640), 320, 1, False, (240, 320)),
        ((640, 480), 320, 32, False, (320, 256)),  # 240 is half way between 224 and 256, and goes up
        ((500, 354), 320, 1, False, (320, 227)),
        ((100, 50), 320, 1, False, (100, 50)),
        ((100, 50), 320, 1, True, (320, 160)),
        ((100, 50), 320, 32, False, (96, 64)),
        ((10, 3000), 300, 1, False, (1, 300)),
        ((10, 3000), 300, 16, False, (16, 304)),
    ],
)
def test_sizes(size: tuple[int, int], longest: int, multiple: int, enlarge: bool, expected: tuple[int, int]) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    assert resize(pixels, longest=longest, multiple=multiple, enlarge=enlarge).shape == (*expected, 3)


@settings(deadline=None)
@given(sides, sides, st.integers(1, 200), st.integers(1, 40), st.booleans())
def test_any_size_follows_the_rule(height: int, width: int, longest: int, multiple: int, enlarge: bool) -> None:
    small = resize(np.full((height, width, 3), 77, np.uint8), longest=longest, multiple=multiple, enlarge=enlarge)
    scale = longest / max(height, width)
    scale = scale if enlarge else min(scale, 1.0)
    for side, before in zip(small.shape[:2], (height, width), strict=True):
        assert side % multiple == 0
        assert side >= multiple
        assert abs(side - before * scale) <= multiple / 2 or side == multiple
    assert (small == 77).all()
    assert small.flags.c_contiguous


def test_an_unchanged_size_returns_the_same_array(picture: Pixels) -> None:
    assert resize(picture, longest=64) is picture
    assert resize(picture, longest=500) is picture
    assert stretch(picture, height=48, width=64) is picture


def test_downscaling_averages() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    small = resize(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), longest=20)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 4


def test_resizing_keeps_colours_in_place(picture: Pixels) -> None:
    small = resize(picture, longest=32)
    assert np.abs(small.astype(int) - np.asarray(Image.fromarray(picture).reduce(2))).max() <= 3


def test_stretch_accepts_any_aspect_ratio(picture: Pixels) -> None:
    assert stretch(picture, height=30, width=30).shape == (30, 30, 3)
    with pytest.raises(UsageError, match="at least 1"):
        stretch(picture, height=0, width=30)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((10, 5, 20, 9), slice(5, 9), slice(10, 20)),
        ((-5, -5, 3, 1000), slice(0, 48), slice(0, 3)),
        ((60.4, 44.6, 99, 99), slice(45, 48), slice(60, 64)),
        ((0, 0, 64, 48), slice(None), slice(None)),
    ],
)
def test_crop_is_clipped_to_the_image(
    picture: Pixels, box: tuple[float, float, float, float], rows: slice, columns: slice
) -> None:
    part = crop(picture, box)
    assert np.array_equal(part, picture[rows, columns])
    assert part.flags.c_contiguous


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 20),
        (20, 0, 10, 10),
        (64, 0, 80, 10),
        (-9, -9, 0, 0),
        (0.1, 0.1, 0.4, 0.4),
        (0, 0, 1),
        (0, 0, float("nan"), 9),
        (0, 0, float("inf"), 9),
    ],
)
def test_an_empty_box_is_a_usage_error(picture: Pixels, box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="expected x0, y0, x1, y1"):
        crop(picture, box)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_of_another_type_or_shape_are_usage_errors(pixels: Pixels) -> None:
    with pytest.raises(UsageError, match=r"expected uint8 of shape \(H, W, 3\)"):
        resize(pixels, longest=2)
    with pytest.raises(UsageError, match=r"expected uint8 of shape \(H, W, 3\)"):
        crop(pixels, (0, 0, 2, 2))


@pytest.mark.parametrize(("longest", "multiple"), [(0, 1), (10, 0), (-3, 1)])
def test_sizes_below_one_are_usage_errors(picture: Pixels, longest: int, multiple: int) -> None:
    with pytest.raises(UsageError, match="both must be at least 1"):
        resize(picture, longest=longest, multiple=multiple)


@pytest.mark.parametrize(("longest", "size"), [(160, (64, 48)), (32, (32, 24))])
def test_a_thumbnail_is_a_small_jpeg(picture: Pixels, longest: int, size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(thumbnail_jpeg(picture, longest))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", size)
        expected = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        assert np.abs(np.asarray(image).astype(int) - expected).mean() < 4
