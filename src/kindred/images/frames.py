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
    low, high = pixels.min(axis=(0, 1)).astype(int), pixels.max(axis=(0, 1)).astype(int)
    return bool((high - low <= _SPREAD).all())


def first_showing(frame: Callable[[int], Decoded], count: int) -> Decoded:
    """The first frame that is not uniform among the first `LOOKED_AT` of `count`, else the very first.

    `frame` decodes one by its position. A later frame that is damaged ends the look; a damaged first one is
    refused.
    """
    first = frame(0)
    chosen, number = first, 0
    while is_uniform(chosen.pixels):
        number += 1
        if number >= min(count, LOOKED_AT):
            chosen, number = first, 0
            break
        try:
            chosen = frame(number)
        except Refused:
            chosen, number = first, 0
            break
    return replace(chosen, frames=count, frame=number)
