"""Resize, crop and thumbnail uint8 (H, W, 3) RGB arrays.

The filter is bilinear with antialiasing (a triangle as wide as the scale factor). On the DVD covers of Stanford Mobile
Visual Search (MobileNetV2, GeM, 100 references, 2 x 100 queries) the recall@1 of bilinear, Hamming, bicubic and Lanczos
was equal within its standard error (0.35, 0.37, 0.34, 0.35 for the camera, ± 0.05), and bilinear is the fastest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.errors import UsageError
from kindred.images.jpeg import encode_jpeg
from kindred.regions import Box

__all__ = ["crop", "resize", "stretch", "thumbnail_jpeg"]


def resize(pixels: NDArray[np.uint8], *, longest: int, multiple: int = 1, enlarge: bool = False) -> NDArray[np.uint8]:
    """Scale (H, W, 3) so that its longer side is `longest`, each side rounded to the nearest `multiple`.

    No side becomes less than `multiple`. A smaller image keeps its size (up to that rounding) unless `enlarge`. If the
    size does not change, the same array is returned.
    """
    _check_pixels(pixels)
    if longest < 1 or multiple < 1:
        raise UsageError(f"longest is {longest} and multiple is {multiple}; both must be at least 1")
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale > 1 and not enlarge:
        scale = 1.0
    new_height, new_width = (_round_to(side * scale, multiple) for side in (height, width))
    return stretch(pixels, height=new_height, width=new_width)


def stretch(pixels: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Scale (H, W, 3) to exactly (height, width, 3), ignoring its aspect ratio; for networks of fixed input size."""
    _check_pixels(pixels)
    if height < 1 or width < 1:
        raise UsageError(f"height is {height} and width is {width}; both must be at least 1")
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _round_to(side: float, multiple: int) -> int:
    return max(1, math.floor(side / multiple + 0.5)) * multiple


def crop(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return a copy of the region `box`: x0, y0, x1, y1 in pixels, x1 and y1 exclusive, clipped to the image.

    Raises `UsageError` if the box does not overlap the image.
    """
    _check_pixels(pixels)
    height, width = pixels.shape[:2]
    try:
        left, top, right, bottom = (round(edge) for edge in box)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"box {box!r} is not four numbers; expected x0, y0, x1, y1 in pixels") from None
    left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
    if left >= right or top >= bottom:
        raise UsageError(
            f"box {box!r} does not overlap an image of {width} x {height} pixels; "
            "expected x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1"
        )
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def thumbnail_jpeg(pixels: NDArray[np.uint8], longest: int = 160) -> bytes:
    """Return a JPEG of the image, downscaled to a longer side of at most `longest` pixels; about 5 KB at 160."""
    return encode_jpeg(resize(pixels, longest=longest), quality=80)


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise UsageError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 of shape (H, W, 3)")
