from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageCms

from kindred.images import decode
from kindred.images.colour import needs_conversion
from kindred.images.raster import eight_bits
from kindred.images.turning import turn_upright, upright_size

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

# XYZ of the sRGB primaries under D50 (the profile of sRGB, IEC 61966-2-1).
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139)


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A small ICC profile (ICC.1:2001-04): header, table of tags, tags."""
    table, body, at = struct.pack(">L", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">LL", at + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    size = at + len(body)
    head = struct.pack(">L4sL4s4s4s", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + xyz((0.9642, 1.0, 0.8249))[8:]
    return head + bytes(128 - len(head)) + table + body


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3l", *(round(65536 * value) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">LH", 1, round(256 * value))


def rgb_profile(*primaries: tuple[float, float, float]) -> bytes:
    tags = {name: xyz(value) for name, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(2.2))
    return profile(b"RGB ", {**tags, **curves, b"wtpt": xyz((0.9642, 1.0, 0.8249))})


SWAPPED = rgb_profile(GREEN, RED, BLUE)  # what is stored as red is meant to be seen as green
LINEAR_GREY = profile(b"GRAY", {b"kTRC": gamma(1.0), b"wtpt": xyz((0.9642, 1.0, 0.8249))})


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("longest", [None, 16])
def test_an_embedded_profile_is_applied(picture: Pixels, encode: Encode, name: str, longest: int | None) -> None:
    options: dict[str, object] = {"quality": 95, "subsampling": 0} if name == "JPEG" else {"lossless": True}
    pixels = decode(encode(picture, name, icc_profile=SWAPPED, **options), longest=longest).pixels
    image = Image.fromarray(picture)
    expected = np.asarray(image if longest is None else image.reduce(4))[..., [1, 0, 2]]
    assert np.abs(pixels.astype(int) - expected).mean() < 5  # gamma 2.2 is not quite the curve of sRGB


def test_the_profile_of_srgb_changes_nothing(picture: Pixels, encode: Encode) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert not needs_conversion(srgb)
    assert np.array_equal(decode(encode(picture, "PNG", icc_profile=srgb)).pixels, picture)


@pytest.mark.parametrize("junk", [b"junk", SWAPPED[:200], LINEAR_GREY, SWAPPED[:128] + bytes(400)])
def test_a_damaged_or_foreign_profile_is_ignored(picture: Pixels, encode: Encode, junk: bytes) -> None:
    assert np.array_equal(decode(encode(picture, "PNG", icc_profile=junk)).pixels, picture)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_grey_profile_is_applied(encode: Encode, name: str) -> None:
    grey = np.full((16, 16), 55, np.uint8)  # 0.2157 of the light, which sRGB writes as 128
    pixels = decode(encode(grey, name, icc_profile=LINEAR_GREY)).pixels
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - 128).max() <= 1


def test_sixteen_bits_are_scaled_by_their_full_range() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    assert eight_bits(values)[0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_sixteen_bit_files(encode: Encode, name: str) -> None:
    values = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    pixels = decode(encode(Image.fromarray(values), name)).pixels
    assert np.array_equal(pixels, np.repeat(eight_bits(values)[..., None], 3, axis=2))


def test_big_endian_sixteen_bits() -> None:
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">2H", 65535, 257))
    assert decode(image).pixels[0, :, 0].tolist() == [255, 1]


@pytest.mark.parametrize(("high", "scale"), [(255, 255), (1000, 1023), (4095, 4095), (4096, 65535), (16383, 65535)])
def test_fewer_than_sixteen_bits_are_scaled_by_the_range_that_they_fit(high: int, scale: int) -> None:
    values = np.array([[0, high // 2, high]], np.uint16)
    expected = np.rint(values * (255 / scale))
    assert np.array_equal(decode(values).pixels[..., 0], expected)
    image = Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes())
    assert np.array_equal(decode(image).pixels[..., 0], expected)


def test_floats_are_scaled_by_their_range(encode: Encode) -> None:
    values = np.array([[-2.0, 0.0, 2.0, np.nan]], np.float32)
    assert decode(encode(Image.fromarray(values), "TIFF")).pixels[0, :, 0].tolist() == [0, 128, 255, 128]
    flat = Image.fromarray(np.full((2, 2), 7, np.int32))
    assert decode(encode(flat, "TIFF")).pixels.max() == 0


def alpha_picture(picture: Pixels) -> Image.Image:
    """Opaque on the left, half in the middle, transparent on the right; black under the transparent part."""
    alpha = np.repeat(np.repeat([[255, 128, 0]], [20, 20, 24], axis=1), 48, axis=0).astype(np.uint8)
    return Image.fromarray(np.dstack([picture * (alpha > 0)[..., None], alpha]).astype(np.uint8))


@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_transparency_is_composited_on_white(
    picture: Pixels, encode: Encode, name: str, options: dict[str, object]
) -> None:
    pixels = decode(encode(alpha_picture(picture), name, **options)).pixels.astype(int)
    half = np.rint(picture * (128 / 255) + 255 * (127 / 255))
    assert np.array_equal(pixels[:, :20], picture[:, :20])
    assert np.abs(pixels[:, 20:40] - half[:, 20:40]).max() <= 1
    assert (pixels[:, 40:] == 255).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("longest", [None, 20])
def test_a_white_picture_on_transparency_stays_visible(encode: Encode, mode: str, longest: int | None) -> None:
    """Composited on white, all white logos would be the same blank picture."""
    logo = np.zeros((60, 60, 4), np.uint8)
    logo[20:40, 20:40] = (255, 250, 245, 255)
    pixels = decode(encode(Image.fromarray(logo).convert(mode), "PNG"), longest=longest).pixels.astype(int)
    by = 1 if longest is None else 3
    assert (pixels[: 20 // by] == 128).all()
    assert pixels[30 // by, 30 // by].min() >= 244
    grey = logo.copy()
    grey[20:40, 20:30, :3] = 200  # half of it shows on white
    assert (decode(encode(Image.fromarray(grey).convert(mode), "PNG"), longest=longest).pixels[0] == 255).all()
    opaque = logo.copy()
    opaque[...] = 255
    assert (decode(encode(Image.fromarray(opaque).convert(mode), "PNG"), longest=longest).pixels == 255).all()
    assert (decode(encode(Image.fromarray(logo * 0).convert(mode), "PNG"), longest=longest).pixels == 255).all()


def test_colours_under_transparency_do_not_bleed_when_reduced(encode: Encode) -> None:
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:, ::2] = (200, 100, 50, 255)  # every other column opaque, black and transparent between
    pixels = decode(encode(Image.fromarray(picture), "PNG"), longest=16).pixels
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - [228, 178, 153]).max() <= 2  # half the colour, half white


@pytest.mark.parametrize("mode", ["LA", "La", "RGBa"])
def test_other_modes_with_alpha(picture: Pixels, mode: str) -> None:
    grey_or_colour = Image.fromarray(picture).convert("L" if mode in ("LA", "La") else "RGB")
    image = alpha_picture(picture)
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    pixels = decode(image).pixels.astype(int)
    assert (pixels[:, 40:] == 255).all()
    assert np.abs(pixels[:, :20] - np.asarray(grey_or_colour.convert("RGB"))[:, :20]).max() <= 1


def test_a_transparent_colour_of_a_palette_grey_or_rgb_png(encode: Encode) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert decode(encode(palette, "PNG", transparency=1)).pixels[0].tolist() == [[10, 20, 30], [255] * 3]
    assert decode(encode(palette, "PNG", transparency=b"\xff\0")).pixels[0, 1].tolist() == [255] * 3
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert decode(encode(grey, "PNG", transparency=7)).pixels[0].tolist() == [[255] * 3, [8] * 3]
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert decode(encode(colour, "PNG", transparency=(4, 5, 6))).pixels[0].tolist() == [[1, 2, 3], [255] * 3]


def test_black_and_white_and_lab(picture: Pixels, encode: Encode) -> None:
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert decode(encode(bits, "PNG")).pixels[0].tolist() == [[0] * 3, [255] * 3]
    lab = Image.fromarray(picture).convert("LAB")
    assert np.abs(decode(encode(lab, "TIFF")).pixels.astype(int) - picture).mean() < 4


def test_cmyk_tiff(picture: Pixels, encode: Encode) -> None:
    pixels = decode(encode(Image.fromarray(picture).convert("CMYK"), "TIFF")).pixels
    assert np.abs(pixels.astype(int) - picture).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_upright_equals_pillow(picture: Pixels, orientation: int) -> None:
    from PIL import ImageOps

    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(file, "PNG", exif=exif.tobytes())
    with Image.open(file) as image:
        expected = ImageOps.exif_transpose(image)
    turned = turn_upright(picture, orientation)
    assert np.array_equal(turned, np.asarray(expected))
    assert turned.flags.c_contiguous
    assert upright_size(64, 48, orientation) == expected.size


def test_colours_of_a_jpeg_are_converted_at_the_smallest_size(picture: Pixels, encode: Encode) -> None:
    large = np.asarray(Image.fromarray(picture).resize((640, 480)))
    data = encode(large, "JPEG", quality=95, icc_profile=SWAPPED)
    assert decode(data, longest=35).pixels.shape == (30, 40, 3)  # an eighth by the decoder, a half before the profile
    assert decode(encode(large, "JPEG", quality=95), longest=35).pixels.shape == (60, 80, 3)
