"""Hundreds of damaged files: each is decoded or refused, without a crash or a warning."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from images.png_files import png
from images.test_bmp import bitmap, info, packed
from images.test_boxes import jxl
from images.test_raw import files
from images.tiff_files import Kind, tiff
from kindred.errors import ImageError
from kindred.images import decode

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

PER_FORMAT = 50
FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\1\3\0\1\0\0\0\6\0\0\0"}),
    "progressive jpeg": ("JPEG", {"progressive": True, "restart_marker_blocks": 3}),
    "png": ("PNG", {}),
    "png with frames": ("PNG", {"save_all": True, "append_images": [Image.new("RGB", (64, 48), "red")]}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "tiff": ("TIFF", {}),
    "tiff with lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff with jpeg": ("TIFF", {"compression": "jpeg"}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
    "heic": ("HEIC", {}),
}
WIDE = np.uint16(257)
MADE: dict[str, Callable[[Pixels, Encode], bytes]] = {
    "png of 16 bits": lambda p, _: png(p * WIDE),
    "interlaced png of 16 bits": lambda p, _: png(p * WIDE, interlaced=True),
    "tiff of 16 bits in planes": lambda p, _: tiff(p * WIDE, Kind(separate=True, compression="tiff_lzw", predictor=2)),
    "BigTIFF of tiles": lambda p, _: tiff(p, Kind(big=True, order=">", tile=16, compression="deflate")),
    "tiff of floats": lambda p, _: tiff((p / 255).astype(np.float32), Kind(compression="deflate", predictor=3)),
    "bmp with masks": lambda p, _: bitmap(info(16), b"", packed(p, (0x7C00, 0x3E0, 0x1F), 2)),
    "raw": lambda p, e: files(e(p, "JPEG"), e(p[:8, :8], "JPEG"))["CR2"],
    "raw in boxes": lambda p, e: files(e(p, "JPEG"), e(p[:8, :8], "JPEG"))["CR3"],
    "jpeg xl": lambda p, _: jxl(Image.fromarray(p)),
}


def cut(data: bytearray, random: np.random.Generator) -> bytearray:
    return data[: random.integers(len(data))]


def flip_bits(data: bytearray, random: np.random.Generator) -> bytearray:
    for at in random.integers(len(data), size=random.integers(1, 9)):
        data[at] ^= 1 << random.integers(8)
    return data


def spoil_header(data: bytearray, random: np.random.Generator) -> bytearray:
    for at in random.integers(min(len(data), 100), size=random.integers(1, 9)):
        data[at] = random.integers(256)
    return data


def swap_header(data: bytearray, random: np.random.Generator) -> bytearray:
    heads = (
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0\x08\0\0\0",
        b"GIF89a",
        b"RIFF\xff\0\0\0WEBPVP8L",
    )
    head = heads[random.integers(len(heads))]
    return bytearray(head) + data[len(head) :]


def scramble(data: bytearray, random: np.random.Generator) -> bytearray:
    start, end = np.sort(random.integers(len(data), size=2))
    return data[:start] + bytearray(random.bytes(end - start)) + data[end:]


MUTATIONS: list[Callable[[bytearray, np.random.Generator], bytearray]]
MUTATIONS = [cut, flip_bits, spoil_header, swap_header, scramble]


def original(name: str, picture: Pixels, encode: Encode) -> bytes:
    if name in MADE:
        return MADE[name](picture, encode)
    pillow_name, options = FORMATS[name]
    if pillow_name == "HEIC":
        heif = pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
        file = io.BytesIO()
        heif.from_pillow(Image.fromarray(picture)).save(file)
        return file.getvalue()
    if pillow_name == "AVIF" and "AVIF" not in Image.registered_extensions().values():
        pytest.skip("this Pillow has no AVIF")
    return encode(picture, pillow_name, **options)


@pytest.mark.parametrize("name", [*FORMATS, *MADE])
def test_a_damaged_file_is_decoded_or_refused(name: str, picture: Pixels, encode: Encode) -> None:
    data = original(name, picture, encode)
    random = np.random.default_rng([7, *name.encode()])
    reasons = []
    for number in range(PER_FORMAT):
        damaged = bytes(MUTATIONS[number % len(MUTATIONS)](bytearray(data), random))
        try:
            image = decode(damaged, longest=(None, 16)[number % 2], max_pixels=1_000_000)
        except ImageError as error:
            reasons.append(error.reason)
        else:
            assert image.pixels.dtype == np.uint8
            assert image.pixels.shape[2] == 3
            assert min(image.pixels.shape) > 0
            assert image.width * image.height <= 1_000_000
    assert len(reasons) >= PER_FORMAT // 5  # what was cut or has another format's head, at the least
    assert all(4 <= len(reason) <= 70 and "\n" not in reason for reason in reasons)
