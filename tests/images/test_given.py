"""Image arguments of every supported type."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kindred.errors import ImageError, UsageError
from kindred.images import as_image, decode


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(file)
    return file


def test_streams_and_buffers_give_the_same_picture(picture: Path) -> None:
    data = picture.read_bytes()
    expected = decode(picture).pixels
    with picture.open("rb") as opened:
        for given in (data, bytearray(data), memoryview(data), io.BytesIO(data), opened):
            held = as_image(given)
            assert held == data
            np.testing.assert_array_equal(decode(held).pixels, expected)
    np.testing.assert_array_equal(decode(io.BytesIO(data)).pixels, expected)
    np.testing.assert_array_equal(decode(bytearray(data)).pixels, expected)


def test_repeatable_arguments_are_returned_unchanged(picture: Path) -> None:
    array = np.zeros((4, 4, 3), np.uint8)
    with Image.open(picture) as image:
        for given in (picture, str(picture), array, image):
            assert as_image(given) is given


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("https://example.org/a.jpg", ImageError, "is a URL, not a file; download it first"),
        ("nowhere.jpg", ImageError, "nowhere.jpg: no such file"),
        ("a\0b.jpg", ImageError, "cannot be read: "),
        ("x" * 300, ImageError, "cannot be read: its name is too long"),
        (Path("/"), ImageError, "/: is a folder"),
        (3, UsageError, "an image is 3; expected a path, bytes, a binary file"),
        (None, UsageError, "an image is None; expected"),
        (io.StringIO("text"), UsageError, "<StringIO>: is open in text mode; open it in binary mode, 'rb'"),
    ],
)
def test_other_arguments_are_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        as_image(given)
    assert message in str(raised.value)


def test_a_closed_stream_is_an_image_that_cannot_be_read(picture: Path) -> None:
    with picture.open("rb") as opened:
        pass
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: "):
        as_image(opened)
