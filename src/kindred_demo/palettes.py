"""Colour palettes of the demo's printed objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["PALETTES", "Colour", "Palette", "hex_colour", "mix", "pick"]

Colour = tuple[int, int, int]
"""8-bit sRGB."""


def hex_colour(text: str) -> Colour:
    """Parse six hexadecimal digits; `hex_colour("ff8000") == (255, 128, 0)`."""
    return (int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16))


def mix(first: Colour, second: Colour, *, share: float = 0.5) -> Colour:
    """Interpolate linearly between the colours `first` (share 0) and `second` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def pick(rng: np.random.Generator, *colours: Colour) -> Colour:
    """Return one of the colours at random."""
    return colours[int(rng.integers(len(colours)))]


class Palette(NamedTuple):
    """Five colours: light paper, dark ink and three accents."""

    paper: Colour
    dark: Colour
    a: Colour
    b: Colour
    c: Colour

    @property
    def accents(self) -> tuple[Colour, Colour, Colour]:
        """The three colours that are neither paper nor dark ink."""
        return (self.a, self.b, self.c)

    def on(self, ground: Colour) -> Palette:
        """Return the palette for drawing on `ground`: none of its colours is that of the ground."""
        if ground == self.dark:
            return self._replace(paper=self.dark, dark=self.paper)
        if ground in self.accents:
            return Palette(self.paper, self.dark, *(self.paper if ink == ground else ink for ink in self.accents))
        return self

    def turned(self, steps: int) -> Palette:
        """Return the same colours with the accents permuted."""
        order = self.accents[steps % 3 :] + self.accents[: steps % 3]
        return Palette(self.paper, self.dark, *order)


def _palette(line: str) -> Palette:
    return Palette(*(hex_colour(word) for word in line.split()))


PALETTES: tuple[Palette, ...] = tuple(
    _palette(line)
    for line in (
        "f3e6c8 20304a d9482b e9a23b 3f7f7a",
        "f7e1d7 3a2e39 f15152 1e6a72 edb183",
        "f4ede4 12263a c5283d e9724c ffc857",
        "efe6d5 283618 bc6c25 606c38 dda15e",
        "eaf4f4 143642 ec9a29 0f8b8d a8201a",
        "fbf1e3 33272a f27a97 594a7b ffc65c",
        "fff4e0 1d3557 e63946 457b9d f1b24a",
        "e8eddf 242423 f5cb5c cf5c36 5b8e7d",
        "dff0ea 1b4332 40916c ffb703 d8572a",
        "f1e4f3 2d1e4f 8e5bb5 f4b942 e5556e",
        "f6ecd9 2b2a33 c8553d 588b8b f2c57c",
        "e3ecf4 16213e 3a6ea5 f2a65a e24e4e",
        "f9e8c9 102a43 f76c5e 27a4a0 ffd166",
        "e9e3d0 1c1c1c b7263c 6d6a5c d9b44a",
        "fde7d6 4a1942 c83e4d f4a259 5b8c5a",
        "f5f0e1 1e3d59 ff6e40 ffc13b 6f9ceb",
        "faf3dd 2f4858 86a873 f26419 f6ae2d",
        "f2efe6 0b3954 087e8b ff5a5f c9cf5c",
    )
)
