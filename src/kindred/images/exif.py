"""EXIF: read the orientation and the capture date.

Pillow reads EXIF too, but takes longer than decoding a small JPEG and warns about damaged blocks through Python's
process-wide warning filters. This reader reads five tags and ignores damaged ones.

Source: CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Exif", "read_exif"]

_ORIENTATION, _EXIF_FOLDER = 0x0112, 0x8769
_CHANGED, _ORIGINAL, _DIGITISED = 0x0132, 0x9003, 0x9004
_ASCII, _SHORT, _LONG = 2, 3, 4
_WANTED = frozenset({_ORIENTATION, _EXIF_FOLDER, _CHANGED, _ORIGINAL, _DIGITISED})
_DATE = re.compile(rb"(\d{4})\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)")


@dataclass(frozen=True)
class Exif:
    """Orientation from 1 to 8 (1 = upright), and capture date in ISO 8601 without a time zone."""

    orientation: int = 1
    taken: str | None = None


def read_exif(block: bytes) -> Exif:
    """Read an EXIF block, with or without its prefix; missing or damaged tags take their defaults."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return Exif()
    tags = _read_folder(tiff, order, struct.unpack_from(order + "L", tiff, 4)[0])
    folder = tags.get(_EXIF_FOLDER)
    if isinstance(folder, int):
        tags |= _read_folder(tiff, order, folder)
    orientation = tags.get(_ORIENTATION)
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1
    # The date of the last change is the last choice: some cameras write no other date, but image editors change it.
    dates = (_iso_date(tags.get(tag)) for tag in (_ORIGINAL, _DIGITISED, _CHANGED))
    return Exif(orientation, next((date for date in dates if date), None))


def _read_folder(tiff: bytes, order: str, start: int) -> dict[int, int | bytes]:
    tags: dict[int, int | bytes] = {}
    try:
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHL", tiff, at)
            if tag in _WANTED:
                tags.setdefault(tag, _read_value(tiff, order, at + 8, kind, length))
    except struct.error:  # the block is truncated: keep the tags read so far
        pass
    return tags


def _read_value(tiff: bytes, order: str, at: int, kind: int, length: int) -> int | bytes:
    if kind == _ASCII and length > 4:
        (start,) = struct.unpack_from(order + "L", tiff, at)
        return tiff[start : start + min(length, 32)]
    if kind in (_SHORT, _LONG):
        value: int = struct.unpack_from(order + ("H" if kind == _SHORT else "L"), tiff, at)[0]
        return value
    return b""


def _iso_date(value: int | bytes | None) -> str | None:
    found = _DATE.match(value) if isinstance(value, bytes) else None
    if found is None:
        return None
    try:
        return datetime(*(int(part) for part in found.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:  # 0000:00:00 00:00:00, which cameras write if their clock was never set
        return None
