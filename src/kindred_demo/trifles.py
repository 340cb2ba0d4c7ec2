"""The small things that lie about in a photograph: never searched for, only in the way.

A trifle is drawn like a motif, in the square from -1 to 1, in its natural colours, and then lit as a
rounded body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from kindred_demo import findings, utensils
from kindred_demo.canvas import Canvas, Pen

__all__ = ["LYING", "Trifle", "TrifleArt", "draw_trifle", "rounded_off"]

Draw = Callable[[Pen, np.random.Generator], None]


class TrifleArt(NamedTuple):
    """How to draw a trifle; its width and height as seen, and how far it rises, in centimetres."""

    draw: Draw
    width: float
    height: float
    rise: float
    roundness: float = 1.0


class Trifle(NamedTuple):
    """A drawn trifle: RGBA, centimetres."""

    name: str
    face: Image.Image
    width: float
    height: float
    rise: float


def rounded_off(face: Image.Image, *, radius: float, strength: float = 1.0) -> Image.Image:
    """Light a flat drawing from the upper left as if it swelled towards its middle."""
    if strength == 0:
        return face
    height = np.asarray(face.getchannel("A").filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255
    slope = np.zeros_like(height)
    slope[1:-1, 1:-1] = height[2:, 2:] - height[:-2, :-2]
    shade = 1.0 + strength * np.clip(slope * radius * 0.55, -0.5, 0.45)
    pixels = np.asarray(face.convert("RGB"), dtype=np.float32) * shade[..., None]
    lit = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    lit.putalpha(face.getchannel("A"))
    return lit


def draw_trifle(name: str, art: TrifleArt, *, rng: np.random.Generator, longest: int = 200) -> Trifle:
    """Draw one trifle at about `longest` pixels."""
    scale = longest / max(art.width, art.height)
    size = (max(12, round(art.width * scale)), max(12, round(art.height * scale)))
    canvas = Canvas(*size)
    centre = (0.5, canvas.ratio / 2)
    art.draw(canvas.pen().at(centre, max(0.5, canvas.ratio / 2)), rng)
    face = rounded_off(canvas.finished(), radius=min(size) * 0.09, strength=art.roundness)
    return Trifle(name, face, art.width, art.height, art.rise)


LYING: dict[str, TrifleArt] = {
    "coin": TrifleArt(utensils.coin, 2.4, 2.4, 0.2),
    "button": TrifleArt(utensils.button, 1.6, 1.6, 0.25),
    "door key": TrifleArt(utensils.door_key, 6.0, 2.0, 0.25),
    "pencil": TrifleArt(utensils.pencil, 17.0, 1.7, 0.7, 0.0),
    "clip": TrifleArt(utensils.clip, 1.6, 3.2, 0.1),
    "leaf": TrifleArt(findings.leaf, 7.0, 3.6, 0.3, 0.6),
    "flower": TrifleArt(findings.flower, 3.6, 3.6, 0.4, 0.5),
    "pebble": TrifleArt(findings.pebble, 3.4, 2.9, 1.0, 1.3),
    "shell": TrifleArt(findings.shell, 5.0, 5.0, 0.9),
    "starfish": TrifleArt(findings.starfish, 9.0, 9.0, 1.0),
    "citrus": TrifleArt(findings.citrus, 8.0, 7.6, 2.6, 1.6),
    "apple": TrifleArt(findings.apple, 8.0, 8.0, 2.8, 1.6),
    "walnut": TrifleArt(findings.walnut, 4.0, 3.5, 1.4, 1.4),
    "spoon": TrifleArt(utensils.spoon, 15.0, 5.4, 0.6, 0.6),
    "coffee": TrifleArt(utensils.coffee, 15.0, 15.0, 3.0, 0.3),
    "die": TrifleArt(utensils.die, 1.6, 1.6, 1.4, 0.6),
    "screw": TrifleArt(utensils.screw, 4.0, 2.2, 0.5),
    "washer": TrifleArt(utensils.washer, 2.0, 2.0, 0.3),
    "feather": TrifleArt(findings.feather, 12.0, 5.0, 0.5, 0.4),
    "twig": TrifleArt(findings.twig, 14.0, 6.0, 0.6, 0.8),
    "berry": TrifleArt(findings.berry, 1.5, 1.5, 0.8, 1.4),
    "peg": TrifleArt(utensils.peg, 7.2, 3.2, 0.9, 0.6),
    "tag": TrifleArt(utensils.tag, 5.5, 2.8, 0.1, 0.0),
    "note": TrifleArt(utensils.note, 7.6, 7.6, 0.15, 0.0),
    "eraser": TrifleArt(utensils.eraser, 4.5, 2.1, 1.0, 0.7),
    "cork": TrifleArt(utensils.cork, 4.5, 2.2, 1.4, 1.2),
    "acorn": TrifleArt(findings.acorn, 3.0, 1.8, 1.0, 1.3),
    "glasses": TrifleArt(utensils.glasses, 13.5, 6.0, 1.6, 0.4),
    "cap": TrifleArt(utensils.cap, 3.2, 3.2, 0.5),
    "ruler": TrifleArt(utensils.ruler, 20.0, 2.0, 0.2, 0.0),
    "brush": TrifleArt(utensils.brush, 18.0, 2.6, 0.6, 0.6),
}
"""What may lie on a table or on the ground."""
