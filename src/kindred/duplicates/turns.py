"""The eight ways to hold a picture: upright, turned by quarters, and the mirror image of each.

A `Turn` is first mirrored (left to right), then turned clockwise. Mirror images and quarter turns form the dihedral
group of the square, so turns combine and can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["TURNS", "UPRIGHT", "Turn"]

Pixel = TypeVar("Pixel", np.uint8, np.float32)


@dataclass(frozen=True, order=True)
class Turn:
    """What is done to one picture to see another: mirrored left to right or not, then turned clockwise.

    degrees: clockwise: 0, 90, 180 or 270.
    """

    mirrored: bool = False
    degrees: int = 0

    def apply(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """Return the picture (H, W) or (H, W, C) mirrored and turned; a view."""
        flipped = pixels[:, ::-1] if self.mirrored else pixels
        return np.rot90(flipped, -self.degrees // 90)

    def then(self, other: Turn) -> Turn:
        """Return the one turn that does the same as this one and `other` after it."""
        degrees = other.degrees + (-self.degrees if other.mirrored else self.degrees)
        return Turn(self.mirrored != other.mirrored, degrees % 360)

    def undone(self) -> Turn:
        """Return the turn that takes this one back."""
        return self if self.mirrored else Turn(degrees=-self.degrees % 360)


UPRIGHT = Turn()
TURNS = tuple(Turn(mirrored, degrees) for mirrored in (False, True) for degrees in (0, 90, 180, 270))
