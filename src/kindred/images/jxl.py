"""JPEG XL, if the package pillow-jxl-plugin is installed.

Source: ISO/IEC 18181-1, annex D (size header), ISO/IEC 18181-2 (boxes).
"""

from __future__ import annotations

from fractions import Fraction

from kindred.images.boxes import boxes
from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused

__all__ = ["jxl_size"]

HEAD_BYTES = 32
_CODESTREAM = b"\xff\x0a"
_RATIOS = (Fraction(1), Fraction(6, 5), Fraction(4, 3), Fraction(3, 2), Fraction(16, 9), Fraction(5, 4), Fraction(2))
_SIZE_BITS = (9, 13, 18, 30)


def jxl_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the header, as the plugin reports them only after decoding."""
    head = data[:HEAD_BYTES] if data.startswith(_CODESTREAM) else _first_bytes(data)
    if not head.startswith(_CODESTREAM) or len(head) < 14:
        raise Refused(ENDS_EARLY if len(head) < 14 else DAMAGED)
    bits = _Bits(head[2:])
    small = bits.take(1)
    height = _side(bits, small=small)
    ratio = bits.take(3)
    width = int(height * _RATIOS[ratio - 1]) if ratio else _side(bits, small=small)
    return width, height


def _side(bits: _Bits, *, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return 1 + bits.take(_SIZE_BITS[bits.take(2)])


def _first_bytes(data: bytes) -> bytes:
    """Return the first bytes of the codestream in a container file, possibly split over several boxes."""
    found = b""
    for kind, start, end in boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            start += 4 if kind == b"jxlp" else 0
            found += data[start : min(end, start + HEAD_BYTES - len(found))]
        if kind == b"jxlc" or len(found) >= HEAD_BYTES:
            break
    return found


class _Bits:
    """Reads integers from bytes, lowest bits first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value
