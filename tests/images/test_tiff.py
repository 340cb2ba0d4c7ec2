from __future__ import annotations

import io
import struct
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from images.tiff_files import Kind, assemble, tiff
from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.tiff import read_pages

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

LAYOUTS = [
    Kind(order=order, big=big, separate=separate, compression=compression, predictor=predictor, tile=tile)
    for order, big, separate, (compression, predictor), tile in product(
        "<>",
        (False, True),
        (False, True),
        [("none", 1), ("tiff_lzw", 1), ("tiff_lzw", 2), ("deflate", 2), ("packbits", 1), ("zstd", 1)],
        (0, 16),
    )
]


def name_of(kind: Kind) -> str:
    order, big = ("little" if kind.order == "<" else "big"), ("BigTIFF" if kind.big else "TIFF")
    layout = f"{'separate' if kind.separate else 'together'}-{'tiles' if kind.tile else 'strips'}"
    return f"{big}-{order}-{layout}-{kind.compression}-{kind.predictor}"


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", LAYOUTS, ids=name_of)
def test_every_layout_gives_the_same_picture(picture: Pixels, kind: Kind) -> None:
    wide = picture.astype(np.uint16) * 257
    assert np.array_equal(decode(tiff(picture, kind)).pixels, picture)
    assert np.array_equal(decode(tiff(wide, kind)).pixels, picture)
    small = np.asarray(Image.fromarray(picture).reduce(4)).astype(int)
    assert np.abs(decode(tiff(picture, kind), longest=16).pixels - small).max() == 0
    assert np.abs(decode(tiff(wide, kind), longest=16).pixels - small).max() <= 1


@pytest.mark.parametrize("kind", LAYOUTS[::3], ids=name_of)
@pytest.mark.parametrize("wide", [False, True])
def test_cmyk_of_every_layout(picture: Pixels, kind: Kind, wide: bool) -> None:
    image = Image.fromarray(picture).convert("CMYK")
    ink = np.asarray(image)
    data = tiff(ink.astype(np.uint16) * 257 if wide else ink, replace(kind, photometric=5))
    assert np.array_equal(decode(data).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("longest", [None, 16])
def test_transparency_of_eight_and_sixteen_bits(
    picture: Pixels, order: str, separate: bool, dtype: type, longest: int | None
) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, :32] = 0
    samples = np.concatenate([picture, alpha], axis=2).astype(dtype) * dtype(257 if dtype is np.uint16 else 1)
    pixels = decode(tiff(samples, Kind(order=order, separate=separate, extra=(2,))), longest=longest).pixels
    by = 1 if longest is None else 4
    expected = np.asarray(Image.fromarray(picture).reduce(by)).astype(int)
    assert (pixels[:, : 32 // by] == 255).all()
    assert np.abs(pixels[:, 32 // by :] - expected[:, 32 // by :]).max() <= 1


def test_premultiplied_alpha(picture: Pixels) -> None:
    alpha = np.full((48, 64, 1), 128, np.uint8)
    samples = np.concatenate([(picture * (128 / 255)).round().astype(np.uint8), alpha], axis=2)
    pixels = decode(tiff(samples, Kind(extra=(1,)))).pixels.astype(int)
    assert np.abs(pixels - np.rint(picture * (128 / 255) + 127)).max() <= 2


def test_a_fourth_channel_that_is_not_alpha_is_ignored(picture: Pixels) -> None:
    samples = np.concatenate([picture, np.zeros((48, 64, 1), np.uint8)], axis=2)
    for separate in (False, True):
        assert np.array_equal(decode(tiff(samples, Kind(extra=(0,), separate=separate))).pixels, picture)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("longest", [None, 16])
def test_fewer_bits_in_sixteen(picture: Pixels, bits: int, channels: int, longest: int | None) -> None:
    """Values of a camera's 12 bits look like the 8-bit picture, not nearly black."""
    few: NDArray[np.uint16] = np.rint(picture[..., :channels] * (((1 << bits) - 1) / 255)).astype(np.uint16)
    expected = decode(tiff(picture[..., :channels], Kind()), longest=longest).pixels.astype(int)
    for kind in (Kind(), Kind(order=">", separate=channels > 1, compression="deflate")):
        assert np.abs(decode(tiff(few, kind), longest=longest).pixels - expected).max() <= 1
    assert np.abs(decode(few[..., 0] if channels == 1 else few, longest=longest).pixels - expected).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("compression", ["none", "deflate", "tiff_lzw"])
def test_packed_samples(picture: Pixels, bits: int, compression: str) -> None:
    grey = picture[..., :1]
    few = (grey.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16 if bits > 8 else np.uint8)
    expected = np.rint(few[..., 0].astype(float) * (255 / ((1 << bits) - 1)))
    pixels = decode(tiff(few, Kind(bits=bits, compression=compression))).pixels
    assert np.abs(pixels[..., 0] - expected).max() <= 1
    negative = tiff(((1 << bits) - 1 - few).astype(few.dtype), Kind(bits=bits, compression=compression, photometric=0))
    assert np.abs(decode(negative).pixels.astype(int) - pixels).max() <= 1


def test_reversed_bit_order(picture: Pixels) -> None:
    bits = (picture[..., :1] > 100).astype(np.uint8)
    data = bytearray(tiff(bits, Kind(bits=1, rows=48, tags={266: (2,)})))
    length = 64 * 48 // 8
    data[16 : 16 + length] = bytes(int(f"{value:08b}"[::-1], 2) for value in data[16 : 16 + length])
    assert np.array_equal(decode(bytes(data)).pixels[..., 0], bits[..., 0] * 255)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("compression", "predictor"), [("none", 1), ("deflate", 1), ("deflate", 3), ("tiff_lzw", 3)])
@pytest.mark.parametrize("separate", [False, True])
def test_floats_from_zero_to_one(
    picture: Pixels, order: str, dtype: type, compression: str, predictor: int, separate: bool
) -> None:
    kind = Kind(order=order, compression=compression, predictor=predictor, separate=separate)
    pixels = decode(tiff((picture / 255).astype(dtype), kind)).pixels
    assert np.abs(pixels.astype(int) - picture).max() <= (1 if dtype is np.float16 else 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32])
def test_other_integers_are_scaled_by_their_range(dtype: type) -> None:
    values = np.linspace(-60, 60, 64 * 48).reshape(48, 64, 1)
    values = values.astype(dtype) if dtype is not np.uint32 else (values + 1000).astype(dtype)
    low, high = values.min().astype(float), values.max().astype(float)
    expected = np.rint((values.astype(float) - low) * 255 / (high - low))
    assert np.array_equal(decode(tiff(values, Kind())).pixels, np.repeat(expected, 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
def test_a_palette(picture: Pixels, big: bool) -> None:
    image = Image.fromarray(picture).quantize(64)
    palette = np.array(image.getpalette(), np.uint16).reshape(-1, 3)
    table = np.zeros((256, 3), np.uint16)
    table[: len(palette)] = palette
    colours = tuple(int(value) * 257 for value in table.T.ravel())
    data = tiff(np.asarray(image)[..., None], Kind(photometric=3, big=big, order=">", tags={320: colours}))
    assert np.array_equal(decode(data).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("tile", [0, 32])
def test_webp_inside(picture: Pixels, encode: Encode, tile: int) -> None:
    """Pillow's libtiff has no WebP; each strip or tile is a WebP file without its own directory."""
    from images.tiff_files import parts

    kind = Kind(tile=tile, rows=20)
    segments = [encode(np.ascontiguousarray(part), "WEBP", lossless=True) for part in parts(picture, kind)]
    tags: dict[int, tuple[int, ...] | bytes] = {
        256: (64,),
        257: (48,),
        258: (8, 8, 8),
        259: (50001,),
        262: (2,),
        277: (3,),
    }
    tags |= {322: (tile,), 323: (tile,)} if tile else {278: (20,)}
    assert np.array_equal(decode(assemble(segments, tags, kind)).pixels, picture)


def test_a_strip_taller_than_what_is_decoded_at_once(picture: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.images.tiff_pixels._GROUP", 64 * 3 * 2)  # two rows
    for compression, tile, separate in product(("none", "deflate", "tiff_lzw"), (0, 32), (False, True)):
        data = tiff(
            picture,
            Kind(
                compression=compression,
                rows=48,
                tile=tile,
                separate=separate,
                predictor=2 if compression != "none" else 1,
            ),
        )
        assert np.array_equal(decode(data).pixels, picture)
        small = np.asarray(Image.fromarray(picture).reduce(5))
        assert np.array_equal(decode(data, longest=12).pixels, small)


def test_the_orientation_is_applied(picture: Pixels) -> None:
    stored = np.ascontiguousarray(np.rot90(picture)).astype(np.uint16) * 257
    image = decode(tiff(stored, Kind(separate=True, big=True, tags={274: (6,)})))
    assert (image.width, image.height) == (64, 48)
    assert np.array_equal(image.pixels, picture)


def test_thumbnails_and_masks_are_not_pages(picture: Pixels, encode: Encode) -> None:
    small = Image.fromarray(picture).reduce(4)
    pages = [small, Image.fromarray(picture), Image.fromarray(picture[::-1])]
    data = bytearray(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], tiffinfo={254: 0}))
    (first,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    place = next(at for at in range(first + 2, first + 2 + 12 * entries, 12) if data[at : at + 2] == b"\xfe\0")
    data[place + 8] = 1  # the first page is a reduced form of another
    image = decode(bytes(data))
    assert (image.width, image.height, image.frames, image.frame) == (64, 48, 2, 0)
    assert np.array_equal(image.pixels, picture)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("part", [0.1, 0.4])
def test_a_truncated_file_is_refused(picture: Pixels, separate: bool, part: float) -> None:
    """The directory comes first here, as in files truncated in transfer."""
    data = tiff(picture.astype(np.uint16), Kind(separate=separate))
    (directory,) = struct.unpack_from("<L", data, 4)
    moved = bytearray(data[directory:])
    assert reason(bytes(data[: directory + 20])) in {"image data ends early", "image data is damaged"}
    assert moved  # the directory is there
    shifted = bytearray(data)
    place = next(at for at in range(directory + 2, len(data), 12) if data[at : at + 2] == struct.pack("<H", 279))
    (where,) = struct.unpack_from("<L", data, place + 8)
    struct.pack_into("<L", shifted, where, int(len(data) / part))
    (offsets,) = struct.unpack_from("<L", data, place - 24 + 8)
    assert offsets > 0
    struct.pack_into(
        "<L",
        shifted,
        next(
            struct.unpack_from("<L", data, at + 8)[0]
            for at in range(directory + 2, len(data), 12)
            if data[at : at + 2] == struct.pack("<H", 273)
        ),
        len(data) - 3,
    )
    assert reason(bytes(shifted)) == "image data ends early"


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({259: (34712,)}, "unsupported TIFF: compression JPEG 2000"),
        ({259: (12345,)}, "unsupported TIFF: compression 12345"),
        ({262: (32844,)}, "unsupported TIFF: photometric interpretation 32844"),
        ({339: (5, 5, 5)}, "unsupported TIFF: complex numbers"),
        ({258: (8, 8, 16)}, "unsupported TIFF: channels of different sizes"),
        ({277: (1,), 262: (2,)}, "image data is damaged"),
        ({277: (0,)}, "image data is damaged"),
        ({256: (0,)}, "has no pixels"),
    ],
)
def test_reasons(picture: Pixels, tags: dict[int, tuple[int, ...] | bytes], why: str) -> None:
    assert reason(tiff(picture, Kind(tags=tags))) == why


def test_a_cycle_of_pages_ends(picture: Pixels, encode: Encode) -> None:
    data = bytearray(encode(picture, "TIFF"))
    (first,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<L", data, first + 2 + 12 * entries, first)
    assert len(read_pages(bytes(data))) == 1
    assert np.array_equal(decode(bytes(data)).pixels, picture)


def test_fax_and_jpeg_inside(picture: Pixels, encode: Encode) -> None:
    bits = Image.fromarray((picture[..., 0] > 100).astype(np.uint8) * 255).convert("1")
    for compression in ("group3", "group4", "tiff_ccitt"):
        assert np.array_equal(
            decode(encode(bits, "TIFF", compression=compression)).pixels[..., 0], np.asarray(bits) * 255
        )
    for mode in ("L", "RGB", "YCbCr"):
        image = Image.fromarray(picture).convert(mode)
        data = encode(image, "TIFF", compression="jpeg", quality=95, strip_size=64 * 3 * 16)
        with Image.open(io.BytesIO(data)) as again:
            expected = np.asarray(again.convert("RGB")).astype(int)
        assert np.abs(decode(data).pixels - expected).max() <= 1


def test_jpeg_strips_in_several_groups(picture: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.images.tiff_pixels._GROUP", 64 * 3 * 16)  # two strips of eight rows
    data = encode(picture, "TIFF", compression="jpeg", quality=95, strip_size=64 * 3 * 8)
    with Image.open(io.BytesIO(data)) as again:
        expected = np.asarray(again.convert("RGB")).astype(int)
    assert np.abs(decode(data).pixels - expected).max() <= 1
    assert decode(data, longest=20).pixels.shape == (16, 22, 3)


@pytest.mark.parametrize("longest", [None, 16])
def test_old_jpeg_inside(picture: Pixels, encode: Encode, longest: int | None) -> None:
    """Compression 6, deprecated in 1995: the location of its JPEG stream depends on the whole file."""
    stream = encode(picture, "JPEG", quality=95)
    tags: dict[int, tuple[int, ...] | bytes] = {256: (64,), 257: (48,), 258: (8, 8, 8), 259: (6,), 262: (6,), 277: (3,)}
    tags |= {278: (48,), 513: (16,), 514: (len(stream),), 530: (2, 2), 274: (3,)}
    image = decode(assemble([stream], tags, Kind()), longest=longest)
    turned = np.ascontiguousarray(picture[::-1, ::-1])
    expected = turned if longest is None else np.asarray(Image.fromarray(turned).reduce(4))
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).mean() < 8
