from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from images.png_files import chunk, png
from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.png import decode_rows, read_png

if TYPE_CHECKING:
    from images.conftest import Pixels

LIMIT = 10**8


def with_alpha(picture: Pixels) -> Pixels:
    alpha = np.tile(np.array([0] * 30 + [90] * 10 + [255] * 24, np.uint8), (48, 1))
    return np.dstack([picture, alpha])


def wide(samples: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    return samples.astype(np.uint16) * np.uint16(257)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("longest", [None, 16])
def test_sixteen_bits_equal_their_eight_bit_version(
    picture: Pixels, interlaced: bool, channels: int, longest: int | None
) -> None:
    samples = with_alpha(picture)[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    eight = decode(png(samples, interlaced=interlaced), longest=longest).pixels.astype(int)
    sixteen = decode(png(wide(samples), interlaced=interlaced), longest=longest).pixels
    assert np.abs(sixteen - eight).max() <= 1
    if longest is None and channels == 3:
        assert np.array_equal(sixteen, picture)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_fewer_bits_in_sixteen(picture: Pixels, interlaced: bool, bits: int) -> None:
    few = np.rint(picture * (((1 << bits) - 1) / 255)).astype(np.uint16)
    assert np.abs(decode(png(few, interlaced=interlaced)).pixels.astype(int) - picture).max() <= 1


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_sixteen_bits(picture: Pixels, interlaced: bool, channels: int) -> None:
    samples = picture[..., :channels].copy()
    samples[:20] = (10, 20, 30)[:channels]
    clear = np.array([10, 20, 30][:channels])
    eight = png(samples, before=[chunk(b"tRNS", clear.astype(">u2").tobytes())], interlaced=interlaced)
    sixteen = png(wide(samples), before=[chunk(b"tRNS", (clear * 257).astype(">u2").tobytes())], interlaced=interlaced)
    pixels = decode(sixteen).pixels
    assert np.array_equal(pixels, decode(eight).pixels)
    assert (pixels[:20] == 255).all()
    nearly = wide(samples)
    nearly[0] += 1  # not that colour, which the upper bytes alone would not show
    other = decode(png(nearly, before=[chunk(b"tRNS", (clear * 257).astype(">u2").tobytes())])).pixels
    assert (other[0] == [10, 20, 30] if channels == 3 else other[0] == 10).all()


@pytest.mark.parametrize(
    ("depth", "channels"),
    [(1, 1), (2, 1), (4, 1)] + [(depth, channels) for depth in (8, 16) for channels in (1, 2, 3, 4)],
)
@pytest.mark.parametrize("divisor", [1, 3])
def test_decoding_by_rows_equals_decoding_at_once(
    picture: Pixels, depth: int, channels: int, divisor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = with_alpha(picture)[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    stored = wide(samples) if depth == 16 else (samples >> (8 - depth)).astype(np.uint8)
    data = png(stored, depth=depth)
    monkeypatch.setattr("kindred.images.png._GROUP", 1000)  # a few rows at a time
    raster = decode_rows(read_png(data, LIMIT), divisor=divisor, max_pixels=LIMIT)
    whole = Image.fromarray(samples if channels > 1 else samples[..., 0], ["L", "LA", "RGB", "RGBA"][channels - 1])
    if depth < 8:
        whole = Image.fromarray(stored[..., 0] * np.uint8(255 // ((1 << depth) - 1)))
    assert raster.mode == whole.mode
    expected = np.asarray(whole.reduce(divisor) if divisor > 1 else whole).reshape(raster.samples.shape).astype(int)
    rounding = 4 if channels in (2, 4) and divisor > 1 else 1  # Pillow weights by opacity in 8 bits
    assert np.abs(raster.eight_bits() - expected).max() <= (rounding if depth == 16 else 0)


@pytest.mark.parametrize("depth", [1, 4, 8])
@pytest.mark.parametrize("opacity", [b"", b"\0\x80"])
def test_palettes_by_rows(depth: int, opacity: bytes) -> None:
    indices = np.random.default_rng(0).integers(0, 1 << depth, (9, 13, 1)).astype(np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    chunks = [chunk(b"PLTE", colours.tobytes())] + [chunk(b"tRNS", opacity)] * bool(opacity)
    data = png(indices, kind=3, depth=depth, before=chunks)
    raster = decode_rows(read_png(data, LIMIT), divisor=1, max_pixels=LIMIT)
    assert np.array_equal(raster.eight_bits()[..., :3], colours[indices[..., 0]])
    assert raster.mode == ("RGBA" if opacity else "RGB")
    if opacity:
        alpha = np.concatenate([np.frombuffer(opacity, np.uint8), np.full(254, 255, np.uint8)])
        assert np.array_equal(raster.eight_bits()[..., 3], alpha[indices[..., 0]])
    else:
        assert np.array_equal(decode(data).pixels, colours[indices[..., 0]])


def test_flaws_outside_the_image_data_are_ignored(picture: Pixels) -> None:
    flawed = [
        chunk(b"tEXt", b"Comment\0harmless", good=False),
        chunk(b"iCCP", b"a profile\0\0junk", good=False),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000)),
        chunk(b"iTXt", b"\xff" * 30),
        chunk(b"eXIf", b"junk"),
        chunk(b"pHYs", b"\0"),
        chunk(b"vpAg", bytes(9), good=False),
    ]
    for each in flawed:
        assert np.array_equal(decode(png(picture, before=[each])).pixels, picture)
    assert np.array_equal(decode(png(picture)[:-12]).pixels, picture)  # without its end mark


def test_flaws_of_the_image_data_are_refused(picture: Pixels) -> None:
    data = png(picture)
    at = data.index(b"IDAT")
    for place in (23, 30, at + 8):  # height, checksum of the header, first pixels
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(ImageError, match="damaged"):
            decode(bytes(broken))
    wide_data = png(wide(picture))
    with pytest.raises(ImageError, match="ends early"):
        decode(wide_data[: len(wide_data) // 2])
    short = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", 64, 48, 16, 2, 0, 0, 0))
    for rows, why in (
        (zlib.compress(bytes(5000)), "ends early"),
        (zlib.compress(b"\7" * 40_000), "damaged"),
        (b"junk", "damaged"),
    ):
        with pytest.raises(ImageError, match=why):
            decode(short + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gamma_is_applied_as_browsers_do(picture: Pixels, dtype: type) -> None:
    linear: NDArray[np.uint8] = np.rint((picture / 255) ** 2.2 * (255 if dtype is np.uint8 else 65535)).astype(dtype)
    pixels = decode(png(linear, before=[chunk(b"gAMA", struct.pack(">L", 100_000))])).pixels.astype(int)
    expected = np.rint(255 * (linear / (255 if dtype is np.uint8 else 65535)) ** (1 / 2.2))
    assert np.abs(pixels - expected).max() <= 1
    assert np.abs(pixels - picture)[picture > 60].max() <= 3
    for overruled in (chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">L", 45_455)), chunk(b"gAMA", bytes(4))):
        chunks = [overruled] if overruled[4:8] == b"gAMA" else [chunk(b"gAMA", struct.pack(">L", 100_000)), overruled]
        plain = decode(png(linear, before=chunks)).pixels
        assert np.array_equal(plain, decode(png(linear)).pixels)


def test_gamma_does_not_change_alpha(picture: Pixels) -> None:
    data = png(with_alpha(picture), before=[chunk(b"gAMA", struct.pack(">L", 100_000))])
    pixels = decode(data).pixels.astype(int)
    bright = 255 * (picture / 255) ** (1 / 2.2)
    assert (pixels[:, :30] == 255).all()
    assert np.abs(pixels[:, 30:40] - (bright * (90 / 255) + 165)[:, 30:40]).max() <= 2
