"""Clutter that stands on a shelf or hangs on a wall. See `kindred_demo.clutter`."""

from __future__ import annotations

import numpy as np

from kindred_demo.canvas import Pen, arc
from kindred_demo.clutter import ClutterArt
from kindred_demo.palettes import PALETTES, Colour, mix

__all__ = ["HANGING", "STANDING"]


def _ink(rng: np.random.Generator) -> Colour:
    return PALETTES[int(rng.integers(len(PALETTES)))].accents[int(rng.integers(3))]


def plant(pen: Pen, rng: np.random.Generator) -> None:
    """A pot plant."""
    for index in range(13):
        turn = -78 + 13 * index + float(rng.normal(0, 4))
        green = mix((46, 92, 52), (130, 168, 84), share=float(rng.random()))
        reach = float(rng.uniform(0.75, 1.15))
        blade = pen.at((0, 0.25), reach, turn=turn)
        blade.shape(green, [(0, 0), (-0.11, -0.5), (0, -1.0), (0.11, -0.5)], smooth=True)
        blade.stroke(mix(green, (240, 250, 200), share=0.3), [(0, -0.1), (0, -0.85)], width=0.015)
    pot = _ink(rng)
    pen.shape(pot, [(-0.36, 0.25), (0.36, 0.25), (0.27, 1.0), (-0.27, 1.0)])
    pen.shape(mix(pot, (0, 0, 0), share=0.3), [(0.12, 0.25), (0.36, 0.25), (0.27, 1.0), (0.1, 1.0)])
    pen.bar(mix(pot, (255, 255, 255), share=0.12), (-0.41, 0.18, 0.41, 0.34))


def vase(pen: Pen, rng: np.random.Generator) -> None:
    """A round vase with a few dry stems."""
    for x in (-0.3, -0.12, 0.05, 0.26):
        pen.stroke((142, 120, 76), [(x * 0.3, 0.0), (x, -0.55), (x * 1.6, -0.9)], width=0.02, smooth=True)
        pen.oval(mix((206, 180, 130), (150, 90, 60), share=float(rng.random())), (x * 1.6, -0.88, 0.06, 0.11))
    body = _ink(rng)
    pen.shape(
        body,
        [
            (-0.1, -0.05),
            (-0.14, 0.15),
            (-0.45, 0.5),
            (-0.3, 1.0),
            (0.3, 1.0),
            (0.45, 0.5),
            (0.14, 0.15),
            (0.1, -0.05),
        ],
        smooth=True,
    )
    pen.shape(
        mix(body, (0, 0, 0), share=0.28),
        [(0.1, 0.1), (0.14, 0.15), (0.45, 0.5), (0.3, 1.0), (0.05, 1.0), (0.24, 0.5)],
        smooth=True,
    )
    pen.oval(mix(body, (255, 255, 255), share=0.5), (-0.22, 0.42, 0.05, 0.13), turn=20)


def bottle(pen: Pen, rng: np.random.Generator) -> None:
    """A glass bottle."""
    glass = ((54, 92, 62), (110, 70, 34), (150, 186, 190), (60, 84, 120))[int(rng.integers(4))]
    pen.shape(
        glass,
        [
            (-0.09, -0.95),
            (0.09, -0.95),
            (0.09, -0.45),
            (0.27, -0.15),
            (0.27, 1.0),
            (-0.27, 1.0),
            (-0.27, -0.15),
            (-0.09, -0.45),
        ],
    )
    pen.bar(mix(glass, (0, 0, 0), share=0.35), (0.12, -0.1, 0.27, 1.0))
    pen.bar(mix(glass, (255, 255, 255), share=0.55), (-0.2, -0.08, -0.15, 0.9), rounding=0.02)
    pen.bar((226, 214, 186), (-0.27, 0.2, 0.27, 0.7))
    pen.bar(_ink(rng), (-0.27, 0.3, 0.27, 0.42))
    pen.bar((170, 130, 84), (-0.07, -1.0, 0.07, -0.9))


def jar(pen: Pen, rng: np.random.Generator) -> None:
    """A full preserving jar."""
    jam = ((150, 40, 40), (214, 140, 40), (90, 50, 80), (190, 170, 110))[int(rng.integers(4))]
    pen.bar((206, 216, 214), (-0.62, -0.66, 0.62, 1.0), rounding=0.18)
    pen.bar(jam, (-0.55, -0.4, 0.55, 0.94), rounding=0.14)
    pen.bar(mix(jam, (0, 0, 0), share=0.3), (0.25, -0.38, 0.55, 0.92), rounding=0.14)
    pen.bar((248, 250, 250), (-0.46, -0.5, -0.36, 0.8), rounding=0.05)
    pen.bar(_ink(rng), (-0.56, -0.98, 0.56, -0.64), rounding=0.06)


def candle(pen: Pen, rng: np.random.Generator) -> None:
    """A candle in its holder."""
    wax = ((240, 232, 214), (170, 60, 56), (86, 110, 96))[int(rng.integers(3))]
    pen.bar(wax, (-0.09, -0.72, 0.09, 0.72))
    pen.bar(mix(wax, (0, 0, 0), share=0.2), (0.03, -0.72, 0.09, 0.72))
    pen.stroke((40, 34, 30), [(0, -0.72), (0.01, -0.82)], width=0.025)
    pen.shape(
        (176, 140, 74),
        [
            (-0.12, 0.66),
            (0.12, 0.66),
            (0.1, 0.82),
            (0.32, 0.92),
            (0.34, 1.0),
            (-0.34, 1.0),
            (-0.32, 0.92),
            (-0.1, 0.82),
        ],
    )


def volumes(pen: Pen, rng: np.random.Generator) -> None:
    """A few books, spines to the front."""
    x = -0.98
    while x < 0.8:
        width, top = float(rng.uniform(0.15, 0.3)), float(rng.uniform(-0.98, -0.5))
        stop = min(0.98, x + width)
        colour = mix(_ink(rng), (70, 60, 60), share=0.35)
        pen.bar(colour, (x, top, stop - 0.012, 1.0))
        pen.bar(mix(colour, (0, 0, 0), share=0.3), (stop - 0.05, top, stop - 0.012, 1.0))
        for y in (top + 0.16, 0.72):
            pen.bar(mix(colour, (240, 220, 170), share=0.6), (x + 0.02, y, stop - 0.03, y + 0.035))
        x = stop


def bowl(pen: Pen, rng: np.random.Generator) -> None:
    """A bowl with fruit."""
    for index, x in enumerate((-0.42, 0.0, 0.42, -0.2, 0.24)):
        fruit = ((206, 60, 46), (230, 150, 40), (150, 170, 60), (226, 196, 60))[int(rng.integers(4))]
        pen.disc(fruit, (x, 0.08 if index < 3 else -0.2, 0.27))
    china = _ink(rng)
    pen.shape(china, [*arc((0, 0.18, 0.95, 0.78), start=0, stop=180)])
    pen.bar(mix(china, (255, 255, 255), share=0.25), (-0.97, 0.12, 0.97, 0.24), rounding=0.05)
    pen.bar(mix(china, (0, 0, 0), share=0.3), (-0.3, 0.9, 0.3, 1.0))


def hook(pen: Pen, rng: np.random.Generator) -> None:
    """A coat hook."""
    metal = ((60, 58, 56), (180, 150, 90), (176, 176, 174))[int(rng.integers(3))]
    pen.bar(metal, (-0.22, -0.9, 0.22, 0.3), rounding=0.2)
    pen.stroke(metal, [(0, -0.2), (0.0, 0.6), (0.3, 0.85), (0.55, 0.55)], width=0.16, smooth=True)
    pen.disc(metal, (0.55, 0.5, 0.15))
    for y in (-0.65, 0.08):
        pen.disc(mix(metal, (0, 0, 0)), (0, y, 0.06))


def switch(pen: Pen, rng: np.random.Generator) -> None:
    """A light switch."""
    white = mix((238, 236, 228), (206, 196, 176), share=float(rng.random()))
    pen.bar(white, (-0.95, -0.95, 0.95, 0.95), rounding=0.12)
    pen.bar(mix(white, (0, 0, 0), share=0.15), (-0.5, -0.6, 0.5, 0.6), rounding=0.06)
    pen.bar(mix(white, (255, 255, 255)), (-0.46, -0.56, 0.46, 0.02))


def notice(pen: Pen, rng: np.random.Generator) -> None:
    """A pinned sheet with typed lines."""
    paper = mix((246, 242, 230), _ink(rng), share=0.12)
    pen.bar(paper, (-0.7, -0.98, 0.7, 0.98))
    for row in range(11):
        y, stop = -0.6 + 0.13 * row, float(rng.uniform(0.0, 0.55))
        pen.bar((110, 106, 104), (-0.54, y, stop, y + 0.035))
    pen.bar(mix(_ink(rng), (60, 60, 60), share=0.3), (-0.54, -0.84, 0.3, -0.72))
    pen.disc((190, 40, 40), (0, -0.9, 0.07))


def ivy(pen: Pen, rng: np.random.Generator) -> None:
    """A hanging shoot of ivy."""
    stem = [(0.1, -1.0), (-0.1, -0.4), (0.12, 0.2), (-0.05, 0.85)]
    pen.stroke((86, 72, 48), stem, width=0.03, smooth=True)
    for index in range(15):
        y = -0.92 + 0.125 * index
        side = 1 if index % 2 else -1
        leaf = pen.at((0.05 * side, y), float(rng.uniform(0.2, 0.32)), turn=55.0 * side + float(rng.normal(0, 14)))
        green = mix((36, 74, 40), (120, 156, 74), share=float(rng.random()))
        leaf.shape(green, [(0, 0), (-0.75, -0.35), (-0.4, -0.7), (0, -1.3), (0.4, -0.7), (0.75, -0.35)])
        leaf.stroke(mix(green, (230, 240, 190), share=0.4), [(0, -0.1), (0, -1.1)], width=0.05)


def plate(pen: Pen, rng: np.random.Generator) -> None:
    """A painted plate."""
    glaze = _ink(rng)
    pen.disc((240, 236, 226), (0, 0, 0.96))
    pen.ring(glaze, (0, 0, 0.9), width=0.07)
    pen.ring(mix(glaze, (0, 0, 0), share=0.3), (0, 0, 0.6), width=0.03)
    for turn in range(0, 360, 30):
        pen.at((0, 0), 1.0, turn=turn).oval(glaze, (0.72, 0, 0.06, 0.03))


def sconce(pen: Pen, rng: np.random.Generator) -> None:
    """A wall lamp."""
    pen.bar((150, 122, 70), (-0.12, 0.2, 0.12, 0.95), rounding=0.1)
    shade = mix((240, 226, 190), _ink(rng), share=0.25)
    pen.shape(shade, [(-0.4, -0.9), (0.4, -0.9), (0.75, 0.2), (-0.75, 0.2)])
    pen.shape(
        mix(shade, (255, 255, 240), share=0.6),
        [(-0.15, -0.85), (0.15, -0.85), (0.3, 0.15), (-0.3, 0.15)],
        opacity=0.5,
    )


STANDING: dict[str, ClutterArt] = {
    "plant": ClutterArt(plant, 22.0, 26.0, 8.0, 0.3),
    "vase": ClutterArt(vase, 14.0, 24.0, 8.0, 0.3),
    "bottle": ClutterArt(bottle, 8.0, 26.0, 6.0, 0.3),
    "jar": ClutterArt(jar, 9.0, 12.0, 6.0, 0.3),
    "candle": ClutterArt(candle, 9.0, 20.0, 4.0, 0.4),
    "volumes": ClutterArt(volumes, 16.0, 22.0, 12.0, 0.0),
    "bowl": ClutterArt(bowl, 22.0, 14.0, 10.0, 0.4),
}
"""Clutter for shelves."""

HANGING: dict[str, ClutterArt] = {
    "hook": ClutterArt(hook, 5.0, 9.0, 2.0),
    "switch": ClutterArt(switch, 8.0, 8.0, 0.8, 0.3),
    "notice": ClutterArt(notice, 15.0, 21.0, 0.2, 0.0),
    "ivy": ClutterArt(ivy, 22.0, 60.0, 2.0, 0.2),
    "plate": ClutterArt(plate, 22.0, 22.0, 2.0, 0.5),
    "sconce": ClutterArt(sconce, 18.0, 26.0, 6.0, 0.4),
}
"""Clutter for walls."""
