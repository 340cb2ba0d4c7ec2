"""Decoded: the result of decoding an image, its upright sRGB pixels with size, date and frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded"]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An upright image in sRGB.

    `pixels` is (H, W, 3) uint8 RGB, C-contiguous, possibly downscaled; `width` and `height` are in pixels of the
    upright original; `taken` is the ISO 8601 capture date from EXIF, without a time zone. `frames` is the number of
    frames or pages of the file, at least 1, and `frame` the index of the decoded one, from 0.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None = None
    frames: int = 1
    frame: int = 0
