"""Clutter: small objects in a photograph that are never searched for and only distract.

An item is drawn like a motif, in the square from -1 to 1, in its natural colours, and then lit as a rounded body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from kindred_demo import natural, utensils
from kindred_demo.canvas import Canvas, Pen

__all__ = ["LYING", "ClutterArt", "ClutterItem", "draw_clutter", "rounded_off"]

Draw = Callable[[Pen, np.random.Generator], None]


class ClutterArt(NamedTuple):
    """A drawing function; width and height as seen, and height above the surface, in centimetres."""

    draw: Draw
    width: float
    height: float
    rise: float
    roundness: float = 1.0


class ClutterItem(NamedTuple):
    """A drawn item: RGBA image, sizes in centimetres."""

    name: str
    face: Image.Image
    width: float
    height: float
    rise: float


def rounded_off(face: Image.Image, *, radius: float, strength: float = 1.0) -> Image.Image:
    """Light a flat drawing from the upper left as if it were convex."""
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


def draw_clutter(name: str, art: ClutterArt, *, rng: np.random.Generator, longest: int = 200) -> ClutterItem:
    """Draw one item at about `longest` pixels."""
    scale = longest / max(art.width, art.height)
    size = (max(12, round(art.width * scale)), max(12, round(art.height * scale)))
    canvas = Canvas(*size)
    centre = (0.5, canvas.ratio / 2)
    art.draw(canvas.pen().at(centre, max(0.5, canvas.ratio / 2)), rng)
    face = rounded_off(canvas.finished(), radius=min(size) * 0.09, strength=art.roundness)
    return ClutterItem(name, face, art.width, art.height, art.rise)


LYING: dict[str, ClutterArt] = {
    "coin": ClutterArt(utensils.coin, 2.4, 2.4, 0.2),
    "button": ClutterArt(utensils.button, 1.6, 1.6, 0.25),
    "door key": ClutterArt(utensils.door_key, 6.0, 2.0, 0.25),
    "pencil": ClutterArt(utensils.pencil, 17.0, 1.7, 0.7, 0.0),
    "clip": ClutterArt(utensils.clip, 1.6, 3.2, 0.1),
    "leaf": ClutterArt(natural.leaf, 7.0, 3.6, 0.3, 0.6),
    "flower": ClutterArt(natural.flower, 3.6, 3.6, 0.4, 0.5),
    "pebble": ClutterArt(natural.pebble, 3.4, 2.9, 1.0, 1.3),
    "shell": ClutterArt(natural.shell, 5.0, 5.0, 0.9),
    "starfish": ClutterArt(natural.starfish, 9.0, 9.0, 1.0),
    "citrus": ClutterArt(natural.citrus, 8.0, 7.6, 2.6, 1.6),
    "apple": ClutterArt(natural.apple, 8.0, 8.0, 2.8, 1.6),
    "walnut": ClutterArt(natural.walnut, 4.0, 3.5, 1.4, 1.4),
    "spoon": ClutterArt(utensils.spoon, 15.0, 5.4, 0.6, 0.6),
    "coffee": ClutterArt(utensils.coffee, 15.0, 15.0, 3.0, 0.3),
    "die": ClutterArt(utensils.die, 1.6, 1.6, 1.4, 0.6),
    "screw": ClutterArt(utensils.screw, 4.0, 2.2, 0.5),
    "washer": ClutterArt(utensils.washer, 2.0, 2.0, 0.3),
    "feather": ClutterArt(natural.feather, 12.0, 5.0, 0.5, 0.4),
    "twig": ClutterArt(natural.twig, 14.0, 6.0, 0.6, 0.8),
    "berry": ClutterArt(natural.berry, 1.5, 1.5, 0.8, 1.4),
    "peg": ClutterArt(utensils.peg, 7.2, 3.2, 0.9, 0.6),
    "tag": ClutterArt(utensils.tag, 5.5, 2.8, 0.1, 0.0),
    "note": ClutterArt(utensils.note, 7.6, 7.6, 0.15, 0.0),
    "eraser": ClutterArt(utensils.eraser, 4.5, 2.1, 1.0, 0.7),
    "cork": ClutterArt(utensils.cork, 4.5, 2.2, 1.4, 1.2),
    "acorn": ClutterArt(natural.acorn, 3.0, 1.8, 1.0, 1.3),
    "glasses": ClutterArt(utensils.glasses, 13.5, 6.0, 1.6, 0.4),
    "cap": ClutterArt(utensils.cap, 3.2, 3.2, 0.5),
    "ruler": ClutterArt(utensils.ruler, 20.0, 2.0, 0.2, 0.0),
    "brush": ClutterArt(utensils.brush, 18.0, 2.6, 0.6, 0.6),
}
"""Clutter for tables and the ground."""
