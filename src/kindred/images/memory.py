"""The memory limit of decoding one image, estimated before anything is allocated.

A limit of pixels alone does not bound memory: a pixel of a float TIFF takes 16 bytes and one of a bitmap takes a bit,
and some decoders keep several copies of the image.
"""

from __future__ import annotations

from kindred.images.reasons import Refused

__all__ = ["MAX_BYTES", "check_memory", "divisor_for", "memory_limit", "result_bytes"]

MAX_BYTES = 700_000_000  # for one image, in addition to the memory of the process
_PER_PIXEL = 3.5  # bytes; the default limit of 200 megapixels corresponds to MAX_BYTES


def memory_limit(max_pixels: int) -> int:
    """Return the memory limit in bytes for an image: 700 MB, or more if `max_pixels` is above its default."""
    return max(MAX_BYTES, round(_PER_PIXEL * max_pixels))


def check_memory(needed: int, max_pixels: int) -> None:
    """Raise `Refused` if decoding an image needs more bytes (`needed`) than the limit."""
    limit = memory_limit(max_pixels)
    if needed > limit:
        raise Refused(f"too large: needs {needed / 1e6:.0f} MB of memory, limit {limit / 1e6:.0f}", final=False)


def result_bytes(pixels: int, channels: int, *, itemsize: int, alpha: bool, turned: bool = False) -> int:
    """Return the memory in bytes to convert decoded pixels to upright 8-bit sRGB.

    `channels` includes alpha; `itemsize` is the size of a sample in bytes.
    """
    eight = channels if itemsize > 1 else 0
    colours = 0 if channels == 3 and not alpha else 3
    return pixels * (channels * itemsize + eight + colours + 3 * turned)


def divisor_for(width: int, height: int, longest: int | None) -> int:
    """Return the largest integer divisor of both sides that leaves the longer side at least `longest`."""
    return max(1, max(width, height) // longest) if longest else 1
