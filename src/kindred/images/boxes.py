"""Boxes of ISO base media files (AVIF, HEIC, JPEG XL), for properties that the decoders do not report.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (image properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["boxes", "clean_aperture", "has_size"]

_MAX_BOXES = 10_000
_FULL = b"meta"  # a box with a version before its content


def boxes(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start of its content, end of its content) of each box between `start` and `end`."""
    end = len(data) if end is None else end
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">L4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def _properties(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return the item properties of a file."""
    start, end = 0, len(data)
    for wanted in (_FULL, b"iprp", b"ipco"):
        found = next((each for each in boxes(data, start, end) if each[0] == wanted), None)
        if found is None:
            return []
        start, end = found[1] + (4 if wanted == _FULL else 0), found[2]
    return list(boxes(data, start, end))


def has_size(data: bytes) -> bool:
    """Return whether the file declares the size of its images."""
    return any(kind == b"ispe" for kind, _, _ in _properties(data))


def clean_aperture(data: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the clean aperture, the area to be shown: left, top, right, lower; the whole image if there is none.

    With several apertures the whole image is returned, as they belong to different images of the file.
    """
    whole = (0, 0, width, height)
    found = [(start, end) for kind, start, end in _properties(data) if kind == b"clap"]
    if len(found) != 1 or found[0][1] - found[0][0] < 32:
        return whole
    values = struct.unpack_from(">LLLLlLlL", data, found[0][0])
    if not all(values[1::2]):
        return whole
    across, down, right, low = (top / bottom for top, bottom in zip(values[::2], values[1::2], strict=True))
    left = round(right + (width - 1) / 2 - (across - 1) / 2)
    top = round(low + (height - 1) / 2 - (down - 1) / 2)
    box = (left, top, left + round(across), top + round(down))
    inside = 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    return box if inside else whole
