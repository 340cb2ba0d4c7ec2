"""Titles: Pillow's built-in typeface made bold, narrow, spaced out, slanted or bent along an arc."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kindred_demo.canvas import Pen
from kindred_demo.palettes import Colour

__all__ = ["arched", "lettering"]

Box = tuple[float, float, float, float]

EM = 96
"""Pixels per em in which a line is drawn before it is scaled."""


@lru_cache(maxsize=1)
def _typeface() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(EM)


def _glyph_width(text: str) -> float:
    return float(_typeface().getlength(text))


def _set_line(text: str, *, weight: float, tracking: float, slant: float) -> Image.Image:
    """Return one line of text as a mask cropped to its ink; `weight` and `tracking` in em."""
    stroke = round(weight * EM)
    advances = [_glyph_width(letter) + (tracking * EM + 2 * stroke * 0.8) for letter in text]
    mask = Image.new("L", (math.ceil(sum(advances)) + 4 * EM, 3 * EM), 0)
    draw = ImageDraw.Draw(mask)
    x = float(EM)
    for letter, advance in zip(text, advances, strict=True):
        draw.text((x, EM), letter, fill=255, font=_typeface(), stroke_width=stroke)
        x += advance
    if slant:
        shift = (1, slant, -slant * 1.5 * EM, 0, 1, 0)
        mask = mask.transform(mask.size, Image.Transform.AFFINE, shift, Image.Resampling.BICUBIC)
    return mask.crop(mask.getbbox() or (0, 0, 1, 1))


def lettering(
    pen: Pen,
    text: str,
    *,
    box: Box,
    ink: Colour,
    weight: float = 0.0,
    tracking: float = 0.0,
    stretch: float = 1.0,
    slant: float = 0.0,
    align: float = 0.5,
) -> None:
    """Draw text in the box (x0, y0, x1, y1), as large as fits, one line for each line of the text.

    `weight`: extra stroke in em (0.06 is bold). `stretch`: the factor (≥ 1) by which letters may be widened or narrowed
    to fill the box. `align`: 0 left, 0.5 centre, 1 right.
    """
    x0, y0, x1, y1 = pen.pixels([box[:2], box[2:]]).ravel()
    room = (x1 - x0, y1 - y0)
    lines = [_set_line(line, weight=weight, tracking=tracking, slant=slant) for line in text.split("\n")]
    gap = 0.28
    tallest = max(line.height for line in lines)
    block = tallest * (len(lines) + gap * (len(lines) - 1))
    scale = min(room[1] / block, min(room[0] / line.width for line in lines) * stretch)
    height = tallest * scale
    top = (room[1] - block * scale) / 2
    sheet = Image.new("L", (max(1, round(room[0])), max(1, round(room[1]))), 0)
    for number, line in enumerate(lines):
        # A line wider than the box is narrowed; one shorter than it is widened, both within `stretch`.
        width = min(room[0], line.width * scale * stretch)
        size = (max(1, round(width)), max(1, round(line.height * scale)))
        left = round((room[0] - size[0]) * align)
        # Letters without ascenders stand on the common baseline.
        foot = top + number * height * (1 + gap) + height - size[1]
        sheet.paste(line.resize(size, Image.Resampling.BILINEAR), (left, round(foot)))
    pen.canvas.stamp(sheet, ink, corner=(round(x0), round(y0)))


def arched(
    pen: Pen,
    text: str,
    *,
    circle: tuple[float, float, float],
    height: float,
    ink: Colour,
    middle: float = 270.0,
    weight: float = 0.04,
    tracking: float = 0.1,
    inward: bool = False,
) -> None:
    """Draw text along the circle (x, y, radius), centred at an angle (degrees clockwise from the right).

    With `inward` the feet of the letters point outwards, for reading along the bottom of the circle.
    """
    x, y, radius = circle
    scale = height * pen.unit / (0.72 * EM)
    advances = np.array([(_glyph_width(letter) + tracking * EM) * scale for letter in text])
    angles = (np.cumsum(advances) - advances / 2 - advances.sum() / 2) / (radius * pen.unit)
    for letter, angle in zip(text, angles, strict=True):
        if letter == " ":
            continue
        theta = math.radians(middle) + (-angle if inward else angle)
        size = round(2.4 * EM)
        tile = Image.new("L", (size, size), 0)
        draw = ImageDraw.Draw(tile)
        draw.text(
            (size / 2, size / 2),
            letter,
            fill=255,
            font=_typeface(),
            stroke_width=round(weight * EM),
            anchor="mm",
        )
        side = max(1, round(size * scale))
        tile = tile.resize((side, side), Image.Resampling.BILINEAR)
        tile = tile.rotate(-math.degrees(theta) - 90 + (180 if inward else 0), Image.Resampling.BICUBIC)
        ((cx, cy),) = pen.pixels([(x + radius * math.cos(theta), y + radius * math.sin(theta))])
        pen.canvas.stamp(tile, ink, corner=(round(cx - side / 2), round(cy - side / 2)))
