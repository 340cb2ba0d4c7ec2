from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from kindred.images import decode
from kindred.images.frames import FRAMES_TRIED, is_uniform

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

MANY = ["GIF", "WEBP", "PNG", "TIFF"]


def options(name: str) -> dict[str, object]:
    return {"lossless": True} if name == "WEBP" else {}


@pytest.mark.parametrize("name", MANY)
def test_the_first_frame_that_is_not_uniform_is_taken(picture: Pixels, encode: Encode, name: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("white", "black")]
    frames += [Image.fromarray(picture), Image.fromarray(picture[::-1])]
    image = decode(encode(frames[0], name, save_all=True, append_images=frames[1:], **options(name)))
    assert (image.frames, image.frame) == (4, 2)
    assert np.abs(image.pixels.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("longest", [None, 16])
def test_the_number_of_frames_is_reported(picture: Pixels, encode: Encode, name: str, longest: int | None) -> None:
    frames = [Image.fromarray(picture), Image.fromarray(picture[::-1]), Image.fromarray(picture[:, ::-1])]
    image = decode(encode(frames[0], name, save_all=True, append_images=frames[1:], **options(name)), longest=longest)
    assert (image.frames, image.frame) == (3, 0)
    assert decode(encode(frames[0], name, **options(name)), longest=longest).frames == 1


@pytest.mark.parametrize("name", MANY)
def test_the_first_frame_is_decoded_if_all_are_uniform(encode: Encode, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    image = decode(encode(frames[0], name, save_all=True, append_images=frames[1:], **options(name)))
    assert (image.frames, image.frame) == (3, 0)
    assert (image.pixels == [255, 0, 0]).all()


def test_the_number_of_frames_tried_is_bounded(picture: Pixels, encode: Encode) -> None:
    blank = [Image.new("RGB", (64, 48), (200 + number, 0, 0)) for number in range(FRAMES_TRIED)]
    last = Image.fromarray(picture)
    found = decode(encode(blank[1], "TIFF", save_all=True, append_images=[*blank[2:], last]))
    assert (found.frames, found.frame) == (FRAMES_TRIED, FRAMES_TRIED - 1)
    missed = decode(encode(blank[0], "TIFF", save_all=True, append_images=[*blank[1:], last]))
    assert (missed.frames, missed.frame) == (FRAMES_TRIED + 1, 0)


def test_the_current_frame_of_a_pillow_image_is_decoded(picture: Pixels, encode: Encode) -> None:
    frames = [Image.new("RGB", (64, 48), "white"), Image.fromarray(picture)]
    with Image.open(io.BytesIO(encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]))) as image:
        image.seek(1)
        decoded = decode(image)
    assert (decoded.frames, decoded.frame) == (2, 1)
    assert np.array_equal(decoded.pixels, picture)


def test_is_uniform(picture: Pixels) -> None:
    noise = np.random.default_rng(0).integers(244, 256, (20, 20, 3)).astype(np.uint8)
    assert is_uniform(noise)
    assert is_uniform(np.full((1, 1, 3), 7, np.uint8))
    assert not is_uniform(picture)
    dotted = np.full((20, 20, 3), 255, np.uint8)
    dotted[3, 4] = 0
    assert not is_uniform(dotted)


def gif_on_canvas(frame: Pixels, canvas: tuple[int, int], at: tuple[int, int]) -> bytes:
    """A GIF of one frame of two colours that is smaller than its canvas."""
    image = Image.fromarray(frame, "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    file = io.BytesIO()
    image.save(file, "GIF", optimize=False)
    data = bytearray(file.getvalue())
    place = data.index(b"\x2c" + bytes(4) + struct.pack("<HH", *image.size))
    struct.pack_into("<HH", data, 6, *canvas)
    struct.pack_into("<HH", data, place + 1, *at)
    return bytes(data)


def test_the_canvas_around_a_small_gif_frame_is_transparent() -> None:
    frame = np.tile(np.array([0, 1] * 20, np.uint8), (30, 1))
    image = decode(gif_on_canvas(frame, (100, 80), (10, 20)))
    assert (image.width, image.height, image.frames) == (100, 80, 1)
    inside = np.where(frame[..., None] == 0, [200, 0, 0], [0, 0, 200])
    assert np.array_equal(image.pixels[20:50, 10:50], inside)
    around = image.pixels.copy()
    around[20:50, 10:50] = 255
    assert (around == 255).all()
