"""TIFF: read the directories, which describe the location and format of the pixels of each page.

Source: TIFF revision 6.0 (Adobe 1992); BigTIFF (libtiff's design of 2007). Every count and offset is checked against
the size of the file before use.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused

__all__ = ["MAX_PAGES", "Page", "Tag", "read_pages"]

MAX_PAGES = 10_000
_MAX_ENTRIES = 4_000  # of one directory; cameras write a few hundred
_MAX_VALUES = 4_000_000  # of one entry; strip offsets are the longest
_TYPES = {
    1: "u1",
    2: "S1",
    3: "u2",
    4: "u4",
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
_SIZES = {kind: int(name[1]) for kind, name in _TYPES.items()} | {5: 8, 10: 8, 11: 4, 12: 8}
_THUMBNAIL_OR_MASK = 0b101  # bits of NewSubfileType


class Tag:
    """The numbers of the tags that are read."""

    SUBFILE_TYPE = 254
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
    FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 266, 273, 274, 277, 278, 279
    PLANAR, FAX3_OPTIONS, FAX4_OPTIONS, PREDICTOR, COLOUR_MAP = 284, 292, 293, 317, 320
    TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
    SUB_FILES, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 330, 338, 339, 347
    PREVIEW_OFFSET, PREVIEW_LENGTH, SUBSAMPLING = 513, 514, 530
    ICC_PROFILE = 34675


@dataclass(frozen=True, eq=False)
class Page:
    """One directory: `entries` are (type, number of values, offset) by tag; `order` is "<" or ">"."""

    data: bytes
    order: str
    entries: Mapping[int, tuple[int, int, int]]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the integers of a tag, () if it is missing or of another type."""
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        if kind not in _TYPES or kind == 2:
            return ()
        return tuple(np.frombuffer(self.data, np.dtype(self.order + _TYPES[kind]), count, at).tolist())

    def number(self, tag: int, default: int) -> int:
        """Return the first integer of a tag, or `default`."""
        return next(iter(self.numbers(tag)), default)

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a tag, empty if it is missing."""
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        return self.data[at : at + count * _SIZES.get(kind, 0)]

    @property
    def size(self) -> tuple[int, int]:
        """Stored width and height in pixels, (0, 0) if missing."""
        return self.number(Tag.WIDTH, 0), self.number(Tag.HEIGHT, 0)


def read_pages(data: bytes) -> list[Page]:
    """Return the pages of a TIFF or BigTIFF file, without thumbnails and masks unless there are no others.

    Pages after a damaged one are ignored; raises `Refused` for a file without pages.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = 43 in data[2:4]
    pages: list[Page] = []
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
        while at and at not in seen and len(pages) < MAX_PAGES:
            seen.add(at)
            page, at = read_directory(data, at, order=order, big=big)
            pages.append(page)
    except struct.error:
        if not pages:
            raise Refused(ENDS_EARLY) from None
    full = [page for page in pages if not page.number(Tag.SUBFILE_TYPE, 0) & _THUMBNAIL_OR_MASK]
    if not pages:
        raise Refused(DAMAGED)
    return full or pages[:1]


def read_directory(data: bytes, at: int, *, order: str, big: bool) -> tuple[Page, int]:
    """Return the directory at `at`, and the offset of the next (0 for none); `struct.error` if truncated."""
    count, start, step, entry, offset = ("Q", 8, 20, "HHQ", "Q") if big else ("H", 2, 12, "HHL", "L")
    if at >= len(data):
        raise struct.error
    (entries,) = struct.unpack_from(order + count, data, at)
    if entries > _MAX_ENTRIES:
        raise Refused(DAMAGED)
    found: dict[int, tuple[int, int, int]] = {}
    for place in range(at + start, at + start + step * entries, step):
        tag, kind, values = struct.unpack_from(order + entry, data, place)
        size = _SIZES.get(kind, 0) * values
        where = place + step - (8 if big else 4)
        if size > (8 if big else 4):
            (where,) = struct.unpack_from(order + offset, data, where)
        if size > 0 and values <= _MAX_VALUES and where + size <= len(data):
            found.setdefault(tag, (kind, values, where))
    (following,) = struct.unpack_from(order + offset, data, at + start + step * entries)
    return Page(data, order, found), following
