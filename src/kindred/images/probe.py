"""Probe an encoded image: its format and whether it is within a limit of pixels, from its header."""

from __future__ import annotations

from pathlib import Path

from kindred.errors import ImageError
from kindred.images.decode import decode
from kindred.images.formats import HEAD, open_image, sniff
from kindred.images.quiet import quiet_pillow
from kindred.images.reasons import Refused, check_size

__all__ = ["FORMAT_EXTENSIONS", "probe"]

FORMAT_EXTENSIONS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "AVIF": ".avif",
    "HEIC": ".heic",
    "JPEG XL": ".jxl",
    "RAW": ".dng",
}
"""The usual extension of each format."""

_DECODED = ("JPEG XL", "RAW")  # formats whose size is known after decoding only
_SMALL = 64


def probe(path: Path, *, max_pixels: int) -> str:
    """Return the format of a regular file, a key of `FORMAT_EXTENSIONS`, without decoding its pixels if possible.

    Raises `ImageError` for a file that is no image, and for one of more than `max_pixels` pixels. The pixels may still
    turn out to be damaged.
    """
    try:
        data = path.read_bytes()
        name = sniff(data[:HEAD])
        if name in _DECODED:
            decode(data, longest=_SMALL, max_pixels=max_pixels)
            return name
        with quiet_pillow(), open_image(name, data) as image:
            check_size(*image.size, max_pixels)
    except Refused as error:
        raise ImageError(path, error.reason, final=error.final) from error
    except ImageError as error:
        raise ImageError(path, error.reason, final=error.final) from error
    return name
