# ruff: noqa: ARG005 - makers of examples all take the same two arguments
"""The tables of docs/images.md are correct: an example of every line is decoded, or refused for the given reason."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, features

from images.png_files import chunk, png
from images.test_bmp import bitmap, info, packed
from images.test_boxes import jxl
from images.test_frames import gif_on_canvas
from images.test_raw import KINDS, files
from images.tiff_files import Kind, tiff
from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.decode import MAX_PIXELS
from kindred.images.memory import MAX_BYTES

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "images.md").read_text(encoding="utf-8")
Make = Callable[["Pixels", "Encode"], list[bytes]]


def rows(title: str) -> list[list[str]]:
    """The lines of the first table below a title, each as its cells."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def heic(picture: Pixels, encode: Encode) -> list[bytes]:
    heif = pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(picture)).save(file, quality=95)
    return [file.getvalue()] if encode else []


def tiffs(picture: Pixels, encode: Encode) -> list[bytes]:
    kinds = [
        Kind(order=order, big=big, separate=separate)
        for order in "<>"
        for big in (False, True)
        for separate in (False, True)
    ]
    kinds += [Kind(compression=name) for name in ("tiff_lzw", "deflate", "packbits", "zstd")]
    wide = [tiff(picture.astype(np.uint16) * 257, kind) for kind in kinds]
    return wide + [tiff(picture, kind) for kind in kinds] + [encode(picture, "TIFF", compression="jpeg", quality=95)]


def bitmaps(picture: Pixels, encode: Encode) -> list[bytes]:
    masks = (0xFF00, 0xFF0000, 0xFF000000, 0)
    header = info(32, compression=3, size=56, extra=struct.pack("<4L", *masks))
    os2 = bitmap(struct.pack("<HHHH", 64, 48, 1, 24), b"", [row[:, ::-1].tobytes() for row in picture])
    return [encode(picture, "BMP"), bitmap(header, b"", packed(picture, masks, 4)), os2]


def raws(picture: Pixels, encode: Encode) -> list[bytes]:
    stored = np.ascontiguousarray(np.rot90(picture))
    made = files(encode(stored, "JPEG", quality=95), encode(Image.new("RGB", (8, 6)), "JPEG"))
    return [made[kind] for kind in KINDS]


def avif(picture: Pixels, encode: Encode) -> list[bytes]:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    return [encode(picture, "AVIF", quality=95)]


READ: dict[str, Make] = {
    "JPEG": lambda p, e: [e(p, "JPEG", quality=95), e(p, "JPEG", quality=95, progressive=True)],
    "PNG": lambda p, e: [png(p), png(p.astype(np.uint16) * 257), png(p, interlaced=True)],
    "WebP": lambda p, e: [e(p, "WEBP", quality=95), e(p, "WEBP", lossless=True)],
    "GIF": lambda p, e: [e(p, "GIF")],
    "TIFF and BigTIFF of both byte orders": tiffs,
    "BMP": bitmaps,
    "AVIF": avif,
    "HEIC": heic,
    "JPEG XL": lambda p, e: [jxl(Image.fromarray(p), lossless=True)],
    "RAW": raws,
}


def twelve_bits(encode: Encode, picture: Pixels) -> bytes:
    data = bytearray(encode(picture, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


NOT_READ: dict[str, Make] = {
    "JPEG of 12 bits": lambda p, e: [twelve_bits(e, p)],
    "PDF": lambda p, e: [b"%PDF-1.7"],
    "PostScript": lambda p, e: [b"%!PS-Adobe-3.0 EPSF-3.0"],
    "Photoshop": lambda p, e: [b"8BPS\0\1"],
    "icons": lambda p, e: [b"\0\0\1\0\1\0\x10\x10"],
    "JPEG 2000": lambda p, e: [b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51\0"],
    "SVG": lambda p, e: [b"<svg xmlns='http://www.w3.org/2000/svg'/>"],
    "videos": lambda p, e: [b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", b"\x1a\x45\xdf\xa3"],
    "TIFF with JPEG 2000 inside": lambda p, e: [tiff(p, Kind(tags={259: (34712,)}))],
    "TIFF with LERC inside": lambda p, e: [tiff(p, Kind(tags={259: (34887,)}))],
    "TIFF of complex numbers": lambda p, e: [tiff(p, Kind(tags={339: (5, 5, 5)}))],
    "TIFF with channels of different sizes": lambda p, e: [tiff(p, Kind(tags={258: (8, 8, 16)}))],
    "BMP with JPEG or PNG inside": lambda p, e: [bitmap(info(24, compression=4), b"", [bytes(192)] * 48)],
    "AVIF without the size of its image": lambda p, e: [each.replace(b"ispe", b"free") for each in avif(p, e)],
    "RAW without a preview": lambda p, e: list(files(b"", b"").values()),
}


def test_every_line_has_an_example() -> None:
    assert [row[0].split(":")[0] for row in rows("Supported formats")] == list(READ)
    assert [row[0] for row in rows("Unsupported formats")] == list(NOT_READ)


@pytest.mark.parametrize("name", READ)
def test_documented_formats_are_decoded(name: str, picture: Pixels, encode: Encode) -> None:
    made = READ[name](picture, encode)
    assert made
    for data in made:
        image = decode(data)
        assert (image.width, image.height) == (64, 48)
        assert np.abs(image.pixels.astype(int) - picture).mean() < 5


@pytest.mark.parametrize("name", NOT_READ)
def test_documented_refusals_have_the_given_reason(name: str, picture: Pixels, encode: Encode) -> None:
    why = next(row[1] for row in rows("Unsupported formats") if row[0] == name)
    for data in NOT_READ[name](picture, encode):
        with pytest.raises(ImageError) as caught:
            decode(data)
        assert caught.value.reason == why
        assert caught.value.final


def test_the_documented_limits_are_correct() -> None:
    pixels, memory = rows("Limits")
    assert int(pixels[1].split()[0]) * 1_000_000 == MAX_PIXELS
    assert int(memory[1].split()[0]) * 1_000_000 == MAX_BYTES

    def refused(side: int) -> str:
        header = struct.pack(">LLBBBBB", side, side, 16, 6, 0, 0, 1)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        with pytest.raises(ImageError) as caught:
            decode(data)
        return caught.value.reason

    assert refused(20_000) == pixels[2]
    assert re.sub(r"\d+ MB", "", refused(14_000)) == re.sub(r"\d+ MB", "", memory[2])


def test_the_documented_canvas_of_a_gif_is_correct() -> None:
    assert decode(gif_on_canvas(np.zeros((4, 4), np.uint8), (9, 9), (1, 1))).pixels[8, 8].tolist() == [255] * 3
