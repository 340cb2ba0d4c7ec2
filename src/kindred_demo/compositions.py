"""Compositions: ways to fill a picture with one motif, as printed on covers, boxes, posters and stamps.

A composition is a function of the canvas to fill, the motif, the palette and a random generator; it fills the canvas
completely. `Composition.title` is the area that it leaves free for a title.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kindred_demo.canvas import Canvas, Pen, arc, smooth_path
from kindred_demo.motifs import Motif
from kindred_demo.palettes import Colour, Palette, mix

__all__ = ["COMPOSITIONS", "Composition"]

Paint = Callable[[Canvas, Motif, Palette, np.random.Generator], None]


class Composition(NamedTuple):
    """A painting function; the band (top, bottom) free for a title, in fractions of the height; its colours."""

    paint: Paint
    title: tuple[float, float]
    ink: str
    ground: str


def _rays(pen: Pen, colour: Colour, *, centre: tuple[float, float], count: int, reach: float) -> None:
    for index in range(count):
        angles = [math.radians(360.0 * (index + part) / count) for part in (0.0, 0.5)]
        edge = [(centre[0] + reach * math.cos(t), centre[1] + reach * math.sin(t)) for t in angles]
        pen.shape(colour, [centre, *edge])


def sunburst(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """Rays behind a disc with the motif."""
    pen, ratio = canvas.pen(), canvas.ratio
    middle = (0.5, ratio * 0.58)
    pen.bar(inks.b, (0, 0, 1, ratio))
    _rays(pen, mix(inks.b, inks.paper, share=0.45), centre=middle, count=int(rng.integers(12, 22)), reach=2.5)
    size = min(0.36, ratio * 0.3)
    pen.disc(inks.dark, (*middle, size * 1.16))
    pen.disc(inks.paper, (*middle, size * 1.1))
    motif(pen.at(middle, size * 0.8), inks)
    pen.bar(inks.dark, (0, 0, 1, ratio * 0.2))
    pen.bar(inks.a, (0, ratio * 0.2, 1, ratio * 0.215))


def disc(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """One large disc off the centre, a few thin rings, and the motif across its edge."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.paper, (0, 0, 1, ratio))
    x, y = 0.5 + float(rng.uniform(-0.08, 0.08)), ratio * 0.42
    radius = min(0.4, ratio * 0.34)
    for step in (1.3, 1.2, 1.1):
        pen.ring(inks.c, (x, y, radius * step), width=0.006)
    pen.disc(inks.c, (x, y, radius))
    motif(pen.at((0.5, y + 0.03), radius * 0.86), inks.on(inks.c))
    pen.bar(inks.a, (0.08, ratio * 0.8, 0.92, ratio * 0.807))


def stripes(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """Diagonal stripes with the motif on a plain panel."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.a, (0, 0, 1, ratio))
    width, slope = float(rng.uniform(0.07, 0.14)), float(rng.choice([-0.6, 0.6, 1.0]))
    for index in range(-30, 40, 2):
        x = index * width
        pen.shape(inks.b, [(x, 0), (x + width, 0), (x + width + slope * ratio, ratio), (x + slope * ratio, ratio)])
    panel = (0.13, ratio * 0.1, 0.87, ratio * 0.7)
    pen.bar(inks.dark, (panel[0] - 0.015, panel[1] - 0.015, panel[2] + 0.015, panel[3] + 0.015), rounding=0.05)
    pen.bar(inks.paper, panel, rounding=0.04)
    motif(pen.at((0.5, ratio * 0.4), min(0.31, ratio * 0.25)), inks)
    pen.bar(inks.dark, (0, ratio * 0.77, 1, ratio * 0.95))


def quilt(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """A patchwork of quarter discs, triangles and dots around one large patch with the motif."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.paper, (0, 0, 1, ratio))
    columns = 5
    cell = 1.0 / columns
    for row in range(math.ceil(ratio / cell)):
        for column in range(columns):
            _patch(
                pen.at(((column + 0.5) * cell, (row + 0.5) * cell), cell / 2, turn=90.0 * rng.integers(4)),
                inks,
                rng,
            )
    half = 1.5 * cell
    middle = (0.5, half + cell * max(0, math.floor((ratio / cell - 3) / 2)))
    pen.bar(inks.b, (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half))
    motif(pen.at(middle, half * 0.84), inks.on(inks.b))
    pen.bar(inks.dark, (0, ratio * 0.83, 1, ratio))


def _patch(pen: Pen, inks: Palette, rng: np.random.Generator) -> None:
    """One patch of the quilt in the square from -1 to 1."""
    order = [inks.paper, inks.dark, *inks.accents]
    first, second = (order[int(i)] for i in rng.choice(5, size=2, replace=False))
    edge = 1.01
    pen.bar(first, (-edge, -edge, edge, edge))
    kind = int(rng.integers(5))
    if kind == 0:
        pen.shape(second, [(-edge, -edge), *arc((-edge, -edge, 2, 2), start=0, stop=90)])
    elif kind == 1:
        pen.shape(second, [(-edge, -edge), (edge, -edge), (-edge, edge)])
    elif kind == 2:
        pen.disc(second, (0, 0, 0.62))
    elif kind == 3:
        pen.shape(second, arc((0, -edge, 1, 1), start=0, stop=180))
        pen.shape(second, arc((0, 0, 1, 1), start=0, stop=180))
    else:
        for y in (-0.75, -0.25, 0.25, 0.75):
            pen.bar(second, (-edge, y - 0.12, edge, y + 0.12))


def swarm(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """The motif many times in a regular pattern, with changing colours."""
    pen, ratio = canvas.pen(), canvas.ratio
    ground = inks.dark if rng.random() < 0.5 else inks.c
    pen.bar(ground, (0, 0, 1, ratio))
    columns = int(rng.integers(3, 5))
    cell = 1.0 / columns
    for row in range(math.ceil(ratio / cell) + 1):
        for column in range(-1, columns + 1):
            x = (column + 0.5 + (0.5 if row % 2 else 0.0)) * cell
            motif(
                pen.at((x, (row + 0.3) * cell), cell * 0.4, flip=bool(row % 2)),
                inks.turned(row + column).on(ground),
            )
    pen.bar(inks.paper, (0.1, ratio * 0.36, 0.9, ratio * 0.62))
    for edge in (ratio * 0.375, ratio * 0.605):
        pen.bar(inks.a, (0.12, edge - 0.005, 0.88, edge + 0.005))


def rainbow(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """Broad bands that come down one side and curve around the motif."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.paper, (0, 0, 1, ratio))
    middle, radius = (0.5, ratio * 0.44), min(0.45, ratio * 0.38)
    right = rng.random() < 0.5
    for step, ink in enumerate((inks.a, inks.b, inks.c, inks.dark)):
        r = radius * (1 - 0.117 * step)
        band = radius * 0.119
        x0, x1 = (middle[0] + r - band, middle[0] + r) if right else (middle[0] - r, middle[0] - r + band)
        pen.bar(ink, (x0, -0.1, x1, middle[1]))
        pen.disc(ink, (*middle, r))
    pen.disc(inks.paper, (*middle, radius * 0.532))
    motif(pen.at(middle, radius * 0.45), inks)


def hills(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """Rolling hills in haze below a wide sky with the motif."""
    pen, ratio = canvas.pen(), canvas.ratio
    sky = mix(inks.paper, inks.c, share=0.35)
    for band in range(12):
        shade = mix(sky, inks.b, share=0.6 * band / 11)
        pen.bar(shade, (0, ratio * 0.72 * band / 12, 1, ratio * 0.75))
    pen.disc(inks.paper, (0.5, ratio * 0.4, min(0.38, ratio * 0.3)))
    motif(pen.at((0.5, ratio * 0.4), min(0.3, ratio * 0.25)), inks)
    xs = np.linspace(-0.1, 1.1, 9)
    for layer, ink in enumerate((mix(inks.c, sky, share=0.3), inks.c, mix(inks.c, inks.dark, share=0.6), inks.dark)):
        level = ratio * (0.62 + 0.09 * layer)
        crest = [(float(x), level + float(rng.uniform(-0.05, 0.03)) * ratio) for x in xs]
        pen.shape(ink, [*smooth_path(crest, closed=False), (1.2, ratio + 0.1), (-0.2, ratio + 0.1)])


def halftone(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """A halftone screen with dots that grow towards one side, with a large motif on top."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.c, (0, 0, 1, ratio))
    steps, upward = 18, rng.random() < 0.5
    light = mix(inks.c, inks.paper, share=0.55)
    for row in range(math.ceil(ratio * steps * 1.15) + 1):
        y = row / steps / 1.15
        share = y / ratio if upward else 1 - y / ratio
        for column in range(steps + 1):
            x = (column + (0.5 if row % 2 else 0.0)) / steps
            pen.disc(light, (x, y, (0.08 + 0.5 * share) / steps))
    size = min(0.42, ratio * 0.33)
    motif(pen.at((0.515, ratio * 0.435), size), Palette(*(mix(inks.dark, inks.c, share=0.15),) * 5))
    motif(pen.at((0.5, ratio * 0.42), size), inks.on(inks.c))
    pen.bar(inks.paper, (0, ratio * 0.8, 1, ratio * 0.96))


def halves(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """Two fields, with the motif upright in one and upside down in the other."""
    pen, ratio = canvas.pen(), canvas.ratio
    tilt = float(rng.uniform(-0.16, 0.16)) * ratio
    pen.bar(inks.a, (0, 0, 1, ratio))
    pen.shape(inks.dark, [(0, ratio / 2 + tilt), (1, ratio / 2 - tilt), (1, ratio), (0, ratio)])
    size = min(0.27, ratio * 0.19)
    motif(pen.at((0.5, ratio * 0.22), size), inks.on(inks.a))
    motif(pen.at((0.5, ratio * 0.78), size, turn=180), inks.on(inks.dark))
    band = min(0.1, ratio * 0.09)
    slanted = pen.at((0.5, ratio / 2), 1.0, turn=-math.degrees(math.atan2(2 * tilt, 1)))
    slanted.bar(inks.b, (-1, -band, 1, band))
    pen.bar(inks.paper, (0.1, ratio / 2 - band * 0.8, 0.9, ratio / 2 + band * 0.8))


def window(canvas: Canvas, motif: Motif, inks: Palette, rng: np.random.Generator) -> None:
    """An arched window with a border of small diamonds."""
    pen, ratio = canvas.pen(), canvas.ratio
    pen.bar(inks.dark, (0, 0, 1, ratio))
    count = int(rng.integers(13, 18))
    for index in range(count):
        for side in (0.0, 1.0):
            for x, y in (
                (index / (count - 1), 0.045 + side * (ratio - 0.09)),
                (0.045 + side * 0.91, ratio * index / (count - 1)),
            ):
                pen.at((x, y), 0.022).shape(inks.b, [(-1, 0), (0, -1), (1, 0), (0, 1)])
    top = 0.36
    foot = max(ratio * 0.72, top + 0.1)
    for grow, ink in ((0.03, inks.b), (0.0, inks.c)):
        pen.shape(
            ink,
            [
                *arc((0.5, top + 0.02, 0.34 + grow, 0.27 + grow), start=180, stop=360),
                (0.84 + grow, foot + grow),
                (0.16 - grow, foot + grow),
            ],
        )
    motif(pen.at((0.5, (top + foot) / 2 - 0.03), min(0.29, (foot - 0.1) * 0.44)), inks.on(inks.c))


COMPOSITIONS: dict[str, Composition] = {
    "sunburst": Composition(sunburst, (0.045, 0.165), "paper", "dark"),
    "disc": Composition(disc, (0.835, 0.94), "dark", "paper"),
    "stripes": Composition(stripes, (0.8, 0.92), "paper", "dark"),
    "quilt": Composition(quilt, (0.865, 0.965), "paper", "dark"),
    "swarm": Composition(swarm, (0.41, 0.57), "dark", "paper"),
    "rainbow": Composition(rainbow, (0.86, 0.95), "dark", "paper"),
    "hills": Composition(hills, (0.87, 0.96), "paper", "dark"),
    "halftone": Composition(halftone, (0.83, 0.93), "dark", "paper"),
    "halves": Composition(halves, (0.475, 0.525), "dark", "paper"),
    "window": Composition(window, (0.79, 0.9), "paper", "dark"),
}
