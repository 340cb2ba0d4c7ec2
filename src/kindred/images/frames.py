"""Choose the frame or page to describe: the first that is not of a uniform colour.

Scanned documents begin with blank pages and animations with a fade from black, which have no content to describe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.images.reasons import Refused

if TYPE_CHECKING:
    from kindred.images.decode import Decoded

__all__ = ["FRAMES_TRIED", "first_showing", "is_uniform"]

FRAMES_TRIED = 16  # frames tried; a fade of half a second at 30 frames per second
_SPREAD = 12  # of 255: the variation of a uniform colour by compression noise and paper


def is_uniform(pixels: NDArray[np.uint8]) -> bool:
    """Return whether (H, W, 3) is of a uniform colour, up to compression noise."""
    few = pixels[:: 1 + len(pixels) // 64, :: 1 + pixels.shape[1] // 64]  # usually enough to see that it is not uniform
    return all(
        int(channel.max()) - int(channel.min()) <= _SPREAD
        for part in (few, pixels)
        for channel in np.moveaxis(part, 2, 0)
    )


def first_showing(frame: Callable[[int], Decoded], count: int) -> Decoded:
    """Return the first frame that is not uniform among the first `FRAMES_TRIED` of `count`, else the first frame.

    `frame` decodes a frame by its index. A damaged later frame ends the search; a damaged first frame raises `Refused`.
    """
    first = frame(0)
    if count > 1 and is_uniform(first.pixels):
        for number in range(1, min(count, FRAMES_TRIED)):
            try:
                other = frame(number)
            except Refused:
                break
            if not is_uniform(other.pixels):
                return replace(other, frames=count, frame=number)
    return replace(first, frames=count)
