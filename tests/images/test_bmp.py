from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from kindred.errors import ImageError
from kindred.images import decode

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels


def bitmap(header: bytes, after: bytes, rows: list[bytes], *, top_down: bool = False) -> bytes:
    """A file of a header without its size, what follows it, and rows from the top."""
    padded = [row + bytes(-len(row) % 4) for row in rows]
    body = b"".join(padded if top_down else padded[::-1])
    start = 14 + 4 + len(header) + len(after)
    head = struct.pack("<2sLHHL", b"BM", start + len(body), 0, 0, start)
    return head + struct.pack("<L", 4 + len(header)) + header + after + body


def info(bits: int, *, compression: int = 0, height: int = 48, size: int = 40, extra: bytes = b"") -> bytes:
    fields = struct.pack("<llHHLLllLL", 64, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return (fields + extra).ljust(size - 4, b"\0")


def packed(picture: Pixels, masks: tuple[int, ...], size: int, alpha: int = 255) -> list[bytes]:
    values = np.zeros(picture.shape[:2], np.uint32)
    for number, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            channel = picture[..., number].astype(float) if number < 3 else np.full(picture.shape[:2], float(alpha))
            values |= np.rint(channel / 255 * (mask >> shift)).astype(np.uint32) << np.uint32(shift)
    return [row.astype(f"<u{size}").tobytes() for row in values]


MASKS = [
    (16, (0xF800, 0x7E0, 0x1F, 0), 8),
    (16, (0x7C00, 0x3E0, 0x1F, 0x8000), 8),
    (16, (0xF00, 0xF0, 0xF, 0xF000), 17),
    (32, (0xFF0000, 0xFF00, 0xFF, 0), 0),
    (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), 0),
    (32, (0xFF00, 0xFF0000, 0xFF000000, 0xFF), 0),
    (32, (0x3FF00000, 0xFFC00, 0x3FF, 0), 1),
]


@pytest.mark.parametrize(("bits", "masks", "tolerance"), MASKS)
@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("top_down", [False, True])
def test_any_masks_after_any_header(
    picture: Pixels, bits: int, masks: tuple[int, int, int, int], tolerance: int, size: int, top_down: bool
) -> None:
    inside, after = (masks[:3] if size == 52 else masks, b"") if size > 40 else ((), struct.pack("<3L", *masks[:3]))
    header = info(
        bits, compression=3, height=-48 if top_down else 48, size=size, extra=struct.pack(f"<{len(inside)}L", *inside)
    )
    data = bitmap(header, after, packed(picture, masks, bits // 8), top_down=top_down)
    for longest in (None, 16):
        pixels = decode(data, longest=longest).pixels.astype(int)
        expected = picture if longest is None else np.asarray(Image.fromarray(picture).reduce(4))
        assert np.abs(pixels - expected).max() <= tolerance


def test_alpha_that_is_zero_everywhere_is_ignored(picture: Pixels) -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for alpha in (0, 255):
        data = bitmap(
            info(32, compression=3, size=56, extra=struct.pack("<4L", *masks)), b"", packed(picture, masks, 4, alpha)
        )
        assert np.array_equal(decode(data).pixels, picture)
    half = bitmap(
        info(32, compression=3, size=56, extra=struct.pack("<4L", *masks)), b"", packed(picture, masks, 4, 128)
    )
    assert np.abs(decode(half).pixels.astype(int) - np.rint(picture * (128 / 255) + 127)).max() <= 1


@pytest.mark.parametrize("size", [12, 16, 64])
@pytest.mark.parametrize("bits", [1, 4, 8, 24])
def test_headers_of_os2(picture: Pixels, size: int, bits: int) -> None:
    if size == 12:
        header = struct.pack("<HHHH", 64, 48, 1, bits)
    else:
        header = struct.pack("<llHH", 64, 48, 1, bits).ljust(size - 4, b"\0")
    if bits == 24:
        assert np.array_equal(decode(bitmap(header, b"", [row[:, ::-1].tobytes() for row in picture])).pixels, picture)
        return
    colours = np.random.default_rng(0).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    table = b"".join(bytes(colour[::-1]) + bytes(size != 12) for colour in colours)
    indices = np.random.default_rng(1).integers(0, 1 << bits, (48, 64))
    rows = []
    for row in indices:
        text = "".join(f"{value:0{bits}b}" for value in row)
        rows.append(bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    assert np.array_equal(decode(bitmap(header, table, rows)).pixels, colours[indices])


def test_plain_sixteen_and_thirty_two_bits(picture: Pixels) -> None:
    five = decode(bitmap(info(16), b"", packed(picture, (0x7C00, 0x3E0, 0x1F), 2))).pixels.astype(int)
    assert np.abs(five - picture).max() <= 4
    rows = packed(picture, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 4, 7)  # the fourth byte means nothing
    assert np.array_equal(decode(bitmap(info(32), b"", rows)).pixels, picture)


def test_run_lengths_are_read(encode: Encode) -> None:
    rows = b"\x40\x01\0\0" * 48 + b"\0\1"
    data = bitmap(info(8, compression=1), bytes([9, 8, 7, 0, 30, 20, 10, 0]) + bytes(254 * 4), [rows])
    assert (decode(data).pixels == [10, 20, 30]).all()
    assert encode is not None


@pytest.mark.parametrize(
    ("header", "after", "why"),
    [
        (info(32, compression=3), struct.pack("<3L", 0xFF, 0, 0xFF00), "unsupported BMP: masks without a colour"),
        (info(24, compression=4), b"", "unsupported BMP: JPEG inside"),
        (info(24, compression=11), b"", "unsupported BMP: compression 11"),
        (info(7), b"", "image data is damaged"),
        (info(24, height=0), b"", "has no pixels"),
        (info(24, height=49), b"", "image data ends early"),
        (info(24, height=-(2**31)), b"", "too large: 137439 megapixels, limit 200"),
    ],
)
def test_reasons(picture: Pixels, header: bytes, after: bytes, why: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(bitmap(header, after, [row.tobytes() for row in picture]))
    assert caught.value.reason == why
