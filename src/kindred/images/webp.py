"""WebP: the size of an image, which Pillow reports only after its own size check.

Source: RFC 9649, sections 2.5 to 2.7.
"""

from __future__ import annotations

from kindred.images.reasons import ENDS_EARLY, Refused

__all__ = ["webp_size"]


def webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels of a file with a WebP header; (0, 0) if no image chunk follows."""
    if len(data) < 30:
        raise Refused(ENDS_EARLY)
    kind = data[12:16]
    if kind == b"VP8X":  # with animation, alpha or metadata
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    if kind == b"VP8L":
        packed = _number(data, 21, 4)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    return 0, 0


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
