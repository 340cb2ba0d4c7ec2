"""The memory of decoding one file, measured in a separate process."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.png_files import chunk
from images.tiff_files import Kind, assemble, tiff
from kindred.errors import ImageError, UsageError
from kindred.images import decode
from kindred.images.decode import MAX_PIXELS
from kindred.images.jpeg import coefficient_bytes, read_header
from kindred.images.memory import MAX_BYTES, divisor_for, memory_limit
from kindred.images.tiff import Tag, read_pages
from kindred.images.webp import webp_size

SIDE = 9_000  # 81 megapixels
ALLOWED = 260  # MB above the empty process; whole, as RGB in Pillow, such a picture has 324

MEASURE = """
import sys
from kindred.errors import ImageError
from kindred.images import decode
import numpy as np

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6

decode(np.zeros((8, 8, 3), np.uint8))
before = peak()
try:
    decoded = decode(sys.argv[1], longest=224)
    print(peak() - before, decoded.width, decoded.pixels.shape[1])
except ImageError as error:
    print(peak() - before, error.reason)
"""


def blank_png(depth: int, kind: int, channels: int) -> bytes:
    packer = zlib.compressobj(1)
    row = bytes(1 + SIDE * channels * depth // 8)
    pixels = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    header = struct.pack(">LLBBBBB", SIDE, SIDE, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def blank_tiff(dtype: type, channels: int) -> bytes:
    """Every strip is the same, so that the file is made quickly."""
    rows = 90
    one = tiff(np.zeros((rows, SIDE, channels), dtype), Kind(compression="deflate", rows=rows))
    page = read_pages(one)[0]
    at, count = page.number(Tag.STRIP_OFFSETS, 0), page.number(Tag.STRIP_COUNTS, 0)
    tags: dict[int, tuple[int, ...] | bytes] = {tag: page.numbers(tag) for tag in page.entries if tag not in (273, 279)}
    return assemble([one[at : at + count]] * (SIDE // rows), tags | {257: (SIDE,)}, Kind())


def saved(mode: str, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(file, name, **options)
    return file.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "grey PNG of 16 bits": lambda: blank_png(16, 0, 1),
    "RGB PNG of 16 bits": lambda: blank_png(16, 2, 3),
    "RGBA PNG of 8 bits": lambda: blank_png(8, 6, 4),
    "float TIFF": lambda: blank_tiff(np.float32, 1),
    "RGB TIFF of 16 bits": lambda: blank_tiff(np.uint16, 3),
    "JPEG": lambda: saved("RGB", "JPEG", quality=30),
    "GIF": lambda: saved("P", "GIF"),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_large_picture_needs_little_memory_for_a_small_result(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    peak, width, reduced = run.stdout.split()
    assert (int(width), 224 <= int(reduced) < 1200) == (SIDE, True)
    assert float(peak) < ALLOWED


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, **options)
    assert not caught.value.final
    return caught.value.reason


def test_images_over_the_memory_limit_are_refused_before_decoding() -> None:
    """By header alone: there are no pixels in these files."""
    interlaced = struct.pack(">LLBBBBB", 14_000, 14_000, 16, 6, 0, 0, 1)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", interlaced) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert reason(png, longest=224).startswith("too large: needs ")
    webp = bytearray(saved_small("WEBP"))
    at = webp.index(b"VP8L") + 9
    webp[at : at + 4] = struct.pack("<L", 13_999 | 13_999 << 14)
    assert reason(bytes(webp), longest=224).endswith(" MB of memory, limit 700")


def saved_small(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, name, lossless=True)
    return file.getvalue()


def test_progressive_jpeg_is_counted_by_its_coefficients() -> None:
    """A decoder keeps all coefficients at any scale: 2 bytes per pixel, and twice a quarter of that for chroma."""
    file = io.BytesIO()
    Image.new("RGB", (640, 480)).save(file, "JPEG", progressive=True)
    header = read_header(file.getvalue())
    assert coefficient_bytes(header) == pytest.approx(640 * 480 * 3, rel=0.1)
    data = file.getvalue()
    at = data.index(b"\xff\xc2") + 5
    huge = data[:at] + struct.pack(">HH", 16_000, 12_000) + data[at + 4 :]
    assert int(coefficient_bytes(read_header(huge)) / 1e6) == 577  # 576 and what fills the blocks at the edges
    file.seek(0)
    Image.new("RGB", (640, 480)).save(file, "JPEG")
    assert coefficient_bytes(read_header(file.getvalue())) == 0


def test_the_memory_limit_follows_the_pixel_limit() -> None:
    assert memory_limit(MAX_PIXELS) == memory_limit(100) == MAX_BYTES == 700_000_000
    assert memory_limit(2 * MAX_PIXELS) == 1_400_000_000


@pytest.mark.parametrize("wrong", [0, -1, 2**31])
def test_an_invalid_pixel_limit_is_a_usage_error(wrong: int) -> None:
    with pytest.raises(UsageError, match="expected a number of pixels from 1 to 2147483647"):
        decode(b"", max_pixels=wrong)


def test_the_divisor_leaves_at_least_the_requested_size() -> None:
    assert [divisor_for(1000, 500, longest) for longest in (None, 1, 300, 500, 501, 2000)] == [1, 1000, 3, 2, 1, 1]


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}, {"lossless": True, "exif": b"x"}]
)
def test_the_size_of_a_webp_is_known_before_it_is_opened(options: dict[str, object]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (301, 77)).save(file, "WEBP", **options)
    assert webp_size(file.getvalue()) == (301, 77)
