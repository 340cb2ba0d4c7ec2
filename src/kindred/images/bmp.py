"""BMP: decode uncompressed bitmaps with any channel masks and any header version, in groups of rows.

Pillow supports only some mask layouts and needs four bytes per pixel; it is used for run-length encoded bitmaps only.

Source: Microsoft, "Bitmap Storage"; IBM, OS/2 2.0 Presentation Manager (headers of 12, 16 and 64 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.images.memory import check_memory, result_bytes
from kindred.images.raster import Raster, RowReducer, unpack_bits
from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused, check_size

__all__ = ["Bitmap", "decode_bitmap", "read_bitmap"]

Bytes = NDArray[np.uint8]

_GROUP = 8_000_000  # bytes of rows decoded at once
_RAW, _RLE8, _RLE4, _MASKS, _MASKS_WITH_ALPHA = 0, 1, 2, 3, 6
_COMPRESSIONS = {4: "JPEG inside", 5: "PNG inside"}
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


@dataclass(frozen=True, eq=False)
class Bitmap:
    """A parsed header: `masks` are the bit masks of red, green, blue and alpha, `palette` is (N, 3) RGB."""

    data: bytes
    width: int
    height: int
    bits: int
    run_length: bool
    upside_down: bool
    start: int
    masks: tuple[int, int, int, int]
    palette: Bytes

    @property
    def row_bytes(self) -> int:
        """Size of a stored row in bytes."""
        return (self.width * self.bits + 31) // 32 * 4


def read_bitmap(data: bytes, max_pixels: int) -> Bitmap:
    """Parse the header; raises `Refused` for unsupported or damaged files."""
    try:
        start, size = struct.unpack_from("<LL", data, 10)
        if size == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, _, bits = struct.unpack_from("<llHH", data, 18)
        compression = struct.unpack_from("<L", data, 30)[0] if size >= 40 else _RAW
        colours = struct.unpack_from("<L", data, 46)[0] if size >= 40 else 0
        check_size(width, abs(height), max_pixels)
        if size == 64 and compression in (3, 4):  # codes of other compressions in OS/2
            raise Refused("unsupported BMP: compression of OS/2")
        if compression not in (_RAW, _RLE8, _RLE4, _MASKS, _MASKS_WITH_ALPHA):
            raise Refused(f"unsupported BMP: {_COMPRESSIONS.get(compression, f'compression {compression}')}")
        masks, after = _read_masks(data, size, bits, compression)
    except struct.error:
        raise Refused(ENDS_EARLY) from None
    if bits not in (1, 2, 4, 8, 16, 24, 32):
        raise Refused(DAMAGED)
    step = 3 if size == 12 else 4
    count = min(colours or 1 << min(bits, 8), 256, max(0, start - after) // step) if bits <= 8 else 0
    palette = np.frombuffer(data, np.uint8, count * step, after) if after + count * step <= len(data) else b""
    if bits <= 8 and not count:
        raise Refused(DAMAGED)
    table = np.zeros((256, 3), np.uint8)
    table[:count] = np.asarray(palette).reshape(-1, step)[:, 2::-1] if count else 0
    rle = compression in (_RLE8, _RLE4)
    return Bitmap(data, width, abs(height), bits, rle, height < 0, start, masks, table)


def _read_masks(data: bytes, size: int, bits: int, compression: int) -> tuple[tuple[int, int, int, int], int]:
    """Return the masks, and the end of the header that contains them."""
    after = 14 + size
    masks = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
    if compression not in (_MASKS, _MASKS_WITH_ALPHA):
        return masks, after
    count = 4 if size >= 56 or compression == _MASKS_WITH_ALPHA else 3
    found = (*struct.unpack_from(f"<{count}L", data, 54), 0)[:4]
    if bits not in (16, 32) or not all(found[:3]):
        raise Refused("unsupported BMP: masks without a colour")
    red, green, blue, alpha = found
    return (red, green, blue, alpha), after if size >= 52 else after + 4 * count


def decode_bitmap(bitmap: Bitmap, *, divisor: int, max_pixels: int) -> Raster:
    """Return the samples of an uncompressed bitmap, downscaled by `divisor` while decoding."""
    if bitmap.start + bitmap.row_bytes * bitmap.height > len(bitmap.data):
        raise Refused(ENDS_EARLY)
    # Some programs declare an alpha mask and write only zeros: that means opaque.
    alpha = bool(bitmap.masks[3]) and any(rows.any() for rows in _packed(bitmap, bitmap.masks[3]))
    pixels = -(-bitmap.width // divisor) * -(-bitmap.height // divisor)
    result = result_bytes(pixels, 3 + alpha, itemsize=1, alpha=alpha)
    check_memory(len(bitmap.data) + 8 * max(_GROUP, bitmap.row_bytes * 4) + result, max_pixels)
    reducer = RowReducer(bitmap.width, bitmap.height, divisor=divisor, alpha=alpha)
    for rows in _rows(bitmap):
        reducer.add(_colours(bitmap, rows, alpha=alpha))
    return reducer.raster()


def _rows(bitmap: Bitmap) -> Iterator[Bytes]:
    """Yield groups of stored rows (R, bytes per row), from top to bottom."""
    length = bitmap.row_bytes
    step = max(1, _GROUP // (4 * length))
    for top in range(0, bitmap.height, step):
        many = min(step, bitmap.height - top)
        first = top if bitmap.upside_down else bitmap.height - top - many
        rows = np.frombuffer(bitmap.data, np.uint8, many * length, bitmap.start + first * length).reshape(many, length)
        yield rows if bitmap.upside_down else rows[::-1]


def _packed(bitmap: Bitmap, mask: int) -> Iterator[NDArray[np.uint32]]:
    for rows in _rows(bitmap):
        yield _values(bitmap, rows) & np.uint32(mask)


def _values(bitmap: Bitmap, rows: Bytes) -> NDArray[np.uint32]:
    """Return pixels of 16 or 32 bits as integers."""
    size = bitmap.bits // 8
    values = np.ascontiguousarray(rows[:, : bitmap.width * size]).view(f"<u{size}")
    return values.astype(np.uint32)


def _colours(bitmap: Bitmap, rows: Bytes, *, alpha: bool) -> Bytes:
    """Return stored rows as RGB or RGBA (R, W, C)."""
    if bitmap.bits <= 8:
        samples = rows if bitmap.bits == 8 else unpack_bits(rows, bitmap.width, bitmap.bits)
        indexed: Bytes = bitmap.palette[samples[:, : bitmap.width].astype(np.uint8)]
        return indexed
    if bitmap.bits == 24:
        mirrored: Bytes = rows[:, : 3 * bitmap.width].reshape(len(rows), bitmap.width, 3)[..., ::-1]
        return mirrored
    values = _values(bitmap, rows)
    return np.stack([_channel(values, mask) for mask in bitmap.masks[: 3 + alpha]], axis=-1)


def _channel(values: NDArray[np.uint32], mask: int) -> Bytes:
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    scaled = ((values & np.uint32(mask)) >> np.uint32(shift)).astype(np.float32) * np.float32(255 / top)
    channel: Bytes = np.rint(scaled).astype(np.uint8)
    return channel
