"""How much memory one image may cost, counted before any of it is taken.

A limit of pixels alone does not bound memory: a pixel of a float TIFF has 16 bytes where one of a bitmap has a bit, and
some decoders hold the picture several times over.
"""

from __future__ import annotations

from kindred.images.reasons import Refused

__all__ = ["MAX_BYTES", "check_memory", "divisor_for", "memory_limit", "result_bytes"]

MAX_BYTES = 700_000_000  # for one image, above what the process has without it
_PER_PIXEL = 3.5  # bytes; so the default limit of 200 megapixels stands for MAX_BYTES


def memory_limit(max_pixels: int) -> int:
    """Bytes that an image may cost where `max_pixels` are allowed: 700 MB, more only for a limit above the default."""
    return max(MAX_BYTES, round(_PER_PIXEL * max_pixels))


def check_memory(needed: int, max_pixels: int) -> None:
    """Refuse an image whose decoding would take `needed` bytes, where that is above the limit."""
    limit = memory_limit(max_pixels)
    if needed > limit:
        raise Refused(f"too large: needs {needed / 1e6:.0f} MB of memory, limit {limit / 1e6:.0f}", final=False)


def result_bytes(pixels: int, channels: int, *, itemsize: int, alpha: bool, turned: bool = False) -> int:
    """What a decoded picture of so many pixels takes until it is upright sRGB of 8 bits.

    `channels` count opacity; `itemsize` is that of a sample, in bytes.
    """
    eight = channels if itemsize > 1 else 0
    colours = 0 if channels == 3 and not alpha else 3
    return pixels * (channels * itemsize + eight + colours + 3 * turned)


def divisor_for(width: int, height: int, longest: int | None) -> int:
    """The whole number by which both sides can be divided with the long side still at least `longest`."""
    return max(1, max(width, height) // longest) if longest else 1
