"""Of several frames or pages, choose one that shows something.

Scans begin with blank pages and animations with a fade from black; one colour describes neither.
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

__all__ = ["LOOKED_AT", "first_showing", "is_uniform"]

LOOKED_AT = 16  # frames; a fade of half a second at 30 frames a second
_SPREAD = 12  # of 255: what compression and paper make of one colour


def is_uniform(pixels: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) is of one colour, within what compression makes of it."""
    few = pixels[:: 1 + len(pixels) // 64, :: 1 + pixels.shape[1] // 64]  # mostly enough to see that it is not
    return all(
        int(channel.max()) - int(channel.min()) <= _SPREAD
        for part in (few, pixels)
        for channel in np.moveaxis(part, 2, 0)
    )


def first_showing(frame: Callable[[int], Decoded], count: int) -> Decoded:
    """The first frame that is not uniform among the first `LOOKED_AT` of `count`, else the very first.

    `frame` decodes one by its position. A later frame that is damaged ends the look; a damaged first one is
    refused.
    """
    first = frame(0)
    if count > 1 and is_uniform(first.pixels):
        for number in range(1, min(count, LOOKED_AT)):
            try:
                other = frame(number)
            except Refused:
                break
            if not is_uniform(other.pixels):
                return replace(other, frames=count, frame=number)
    return replace(first, frames=count)
