"""Synthetic RAW files: containers of the kinds that cameras write, around a JPEG preview."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from images.tiff_files import Kind, assemble
from kindred.errors import ImageError
from kindred.images import decode

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

SIDEWAYS = 6


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">L4s", 8 + len(body), kind) + body


def exif_block(orientation: int, date: bytes = b"2019:05:06 07:08:09") -> bytes:
    """A TIFF structure with orientation and date."""
    entries = struct.pack("<HHLHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<HHLL", 0x0132, 2, 20, 8 + 2 + 24 + 4)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + date + b"\0"


def tiff_like(preview: bytes, thumbnail: bytes, *, mark: bytes = b"", sensor: bool = True, order: str = "<") -> bytes:
    """A TIFF structure with two JPEG files and samples of a sensor behind one another."""
    tags: dict[int, tuple[int, ...] | bytes] = {256: (32,), 257: (32,), 258: (16,), 259: (1,), 277: (1,), 278: (32,)}
    tags |= {262: (32803 if sensor else 1,), 274: (SIDEWAYS,)}
    samples = np.random.default_rng(0).integers(0, 4096, 1024).astype("<u2").tobytes()
    data = bytearray(assemble([thumbnail + bytes(7) + preview + samples], tags, Kind(order=order)))
    data[: len(mark)] = mark
    return bytes(data)


@pytest.fixture(scope="session")
def stored(picture: Pixels) -> Pixels:
    """The picture rotated by 90°, as sensors store it."""
    return np.ascontiguousarray(np.rot90(picture))


@pytest.fixture(scope="session")
def preview(stored: Pixels, encode: Encode) -> bytes:
    return encode(stored, "JPEG", quality=95)


@pytest.fixture(scope="session")
def thumbnail(encode: Encode) -> bytes:
    return encode(Image.new("RGB", (16, 12), "red"), "JPEG")


def files(preview: bytes, thumbnail: bytes) -> dict[str, bytes]:
    tiffs = {
        "DNG, NEF, ARW, PEF, SRW": tiff_like(preview, thumbnail),
        "the same, big-endian": tiff_like(preview, thumbnail, order=">"),
        "CR2": tiff_like(preview, thumbnail, sensor=False)[:8]
        + b"CR"
        + tiff_like(preview, thumbnail, sensor=False)[10:],
        "ORF": tiff_like(preview, thumbnail, mark=b"IIRO"),
        "RW2": tiff_like(preview, thumbnail, mark=b"IIU\0"),
    }
    head = box(b"ftyp", b"crx \0\0\0\1crx isom")
    uuid = box(b"uuid", bytes(16), box(b"CMT1", exif_block(SIDEWAYS)), box(b"CMT2", exif_block(1)))
    canon = (
        head + box(b"moov", uuid) + box(b"uuid", bytes(16), box(b"PRVW", bytes(24), preview)) + box(b"mdat", bytes(500))
    )
    return tiffs | {"CR3": canon}


KINDS = ["DNG, NEF, ARW, PEF, SRW", "the same, big-endian", "CR2", "ORF", "RW2", "CR3"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("longest", [None, 16])
def test_the_largest_preview_is_shown_upright(
    picture: Pixels, preview: bytes, thumbnail: bytes, kind: str, longest: int | None
) -> None:
    image = decode(files(preview, thumbnail)[kind], longest=longest)
    assert (image.width, image.height, image.frames) == (64, 48, 1)
    expected = picture if longest is None else np.asarray(Image.fromarray(picture).reduce(4))
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).mean() < 4
    if kind == "CR3":
        assert image.taken == "2019-05-06T07:08:09"


def test_the_exif_of_the_preview_takes_precedence(picture: Pixels, stored: Pixels, encode: Encode) -> None:
    inner = encode(stored, "JPEG", quality=95, exif=b"Exif\0\0" + exif_block(SIDEWAYS))
    image = decode(b"FUJIFILMCCD-RAW 0201FF389501" + bytes(80) + inner + bytes(range(256)) * 9)
    assert (image.width, image.height, image.taken) == (64, 48, "2019-05-06T07:08:09")
    assert np.abs(image.pixels.astype(int) - picture).mean() < 4


def test_the_next_preview_replaces_a_damaged_one(picture: Pixels, preview: bytes, encode: Encode) -> None:
    larger = bytearray(encode(Image.new("RGB", (80, 80), "blue"), "JPEG"))
    del larger[-60:-2]
    image = decode(tiff_like(preview, bytes(larger)))
    assert np.abs(image.pixels.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_raw_file_without_a_preview_is_refused(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(files(b"", b"")[kind])
    assert caught.value.reason == "RAW file without a preview"
    assert caught.value.final


def test_a_tiff_without_samples_of_a_sensor_is_a_tiff(preview: bytes, thumbnail: bytes) -> None:
    assert decode(tiff_like(preview, thumbnail, sensor=False)).width == 32


def test_thousands_of_false_previews_are_bounded(preview: bytes, thumbnail: bytes) -> None:
    false = b"\xff\xd8\xff\xe0\xff\xd8\xff\xe1\0\4" * 20_000
    assert decode(tiff_like(preview, thumbnail) + false).width == 64
    with pytest.raises(ImageError, match="without a preview"):
        decode(tiff_like(false, b""))
