"""The eight orientations of an image: rotations by quarter turns, each with its mirror image.

A `Turn` mirrors (left to right), then rotates clockwise. Mirroring and quarter turns form the dihedral group of the
square, so turns can be composed and inverted.
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
    """The transformation of an image: mirrored left to right if `mirrored`, then rotated clockwise.

    degrees: clockwise: 0, 90, 180 or 270.
    """

    mirrored: bool = False
    degrees: int = 0

    def apply(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """Return the image (H, W) or (H, W, C) mirrored and rotated, as a view."""
        flipped = pixels[:, ::-1] if self.mirrored else pixels
        return np.rot90(flipped, -self.degrees // 90)

    def then(self, other: Turn) -> Turn:
        """Return the composition: this turn followed by `other`."""
        degrees = other.degrees + (-self.degrees if other.mirrored else self.degrees)
        return Turn(self.mirrored != other.mirrored, degrees % 360)

    def inverse(self) -> Turn:
        """Return the inverse turn."""
        return self if self.mirrored else Turn(degrees=-self.degrees % 360)


UPRIGHT = Turn()
TURNS = tuple(Turn(mirrored, degrees) for mirrored in (False, True) for degrees in (0, 90, 180, 270))
