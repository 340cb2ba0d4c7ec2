"""Rotate and mirror images to upright, by their EXIF orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["turn_upright", "upright_size"]


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation (1 to 8) to (H, W, C), contiguous; other values have no effect."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) after `turn_upright`."""
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)
