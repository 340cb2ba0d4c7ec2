"""What decoding gives: upright pixels in sRGB, and what is known about the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded"]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An upright image in sRGB.

    `pixels` is (H, W, 3) uint8 RGB, C-contiguous, perhaps reduced; `width` and `height` are in pixels of the
    upright original; `taken` is the ISO 8601 date from EXIF, without a time zone. `frames` is the number of
    frames or pages of the file, at least 1, and `frame` the position of the one decoded, from 0.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None = None
    frames: int = 1
    frame: int = 0
