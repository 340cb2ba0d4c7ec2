"""An object of the collection as the camera sees it: its printed face, its size, and its pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from kindred_demo.canvas import Canvas
from kindred_demo.motifs import Motif
from kindred_demo.palettes import Colour, Palette

__all__ = ["Design", "Form", "Thing", "face_canvas"]

Form = Literal["slab", "tin", "mug", "cloth", "sign"]
"""slab: a flat front and four plain sides; tin, mug: round, drawn upright; cloth: waves; sign: hangs freely."""


@dataclass(frozen=True)
class Design:
    """The design of an object; everything random about it comes from `rng`."""

    motif: Motif
    noun: str
    adjective: str
    inks: Palette
    composition: str
    variant: int
    rng: np.random.Generator

    @property
    def phrase(self) -> str:
        """Adjective and noun in capitals, on one line."""
        return f"{self.adjective} {self.noun}".upper()


@dataclass(frozen=True)
class Thing:
    """An object of the collection: `face` is RGBA; `width`, `height` and `depth` are in centimetres.

    `sides` are the colours of the four edges of a slab: top, right, bottom, left.
    """

    kind: str
    title: str
    face: Image.Image
    width: float
    height: float
    depth: float
    sides: tuple[Colour, Colour, Colour, Colour]
    form: Form = "slab"
    gloss: float = 0.0

    @property
    def longest(self) -> float:
        """The longer side of the face, in centimetres."""
        return max(self.width, self.height)


def face_canvas(width: float, height: float, *, longest: int = 520, colour: Colour | None = None) -> Canvas:
    """Return a canvas with the proportions of a face given in centimetres."""
    scale = longest / max(width, height)
    return Canvas(round(width * scale), round(height * scale), colour=colour)
