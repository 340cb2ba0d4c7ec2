"""Coins, pencils, cups and tools, as clutter in photographs. See `kindred_demo.clutter`."""

from __future__ import annotations

import numpy as np

from kindred_demo.canvas import Pen, arc
from kindred_demo.palettes import mix, pick

__all__ = [
    "brush",
    "button",
    "cap",
    "clip",
    "coffee",
    "coin",
    "cork",
    "die",
    "door_key",
    "eraser",
    "glasses",
    "note",
    "peg",
    "pencil",
    "ruler",
    "screw",
    "spoon",
    "tag",
    "washer",
]


def coin(pen: Pen, rng: np.random.Generator) -> None:
    """A worn coin."""
    metal = pick(rng, (196, 158, 86), (186, 186, 182), (172, 104, 66))
    pen.disc(metal, (0, 0, 0.95))
    pen.ring(mix(metal, (0, 0, 0), share=0.35), (0, 0, 0.86), width=0.06)
    relief = mix(metal, (255, 255, 255), share=0.28)
    pen.star(relief, (0, 0.02, 0.56), points=int(rng.integers(5, 9)), depth=0.6)
    pen.disc(metal, (0, 0, 0.22))


def button(pen: Pen, rng: np.random.Generator) -> None:
    """A shirt button with four holes."""
    colour = pick(rng, (226, 214, 190), (60, 74, 104), (150, 50, 52), (58, 110, 92), (70, 50, 40))
    pen.disc(colour, (0, 0, 0.95))
    pen.disc(mix(colour, (0, 0, 0), share=0.22), (0, 0, 0.7))
    pen.disc(mix(colour, (255, 255, 255), share=0.1), (0, 0, 0.64))
    for x in (-0.2, 0.2):
        for y in (-0.2, 0.2):
            pen.disc((36, 30, 28), (x, y, 0.11))


def door_key(pen: Pen, rng: np.random.Generator) -> None:
    """A key, lying along x."""
    metal = pick(rng, (178, 178, 172), (188, 152, 84))
    pen.disc(metal, (-0.7, 0, 0.3))
    pen.bar(metal, (-0.5, -0.08, 0.95, 0.08), rounding=0.04)
    for x, length in ((0.4, 0.2), (0.58, 0.14), (0.74, 0.22), (0.88, 0.12)):
        pen.bar(metal, (x - 0.05, 0, x + 0.05, length))
    pen.bar(mix(metal, (0, 0, 0), share=0.3), (-0.42, -0.015, 0.9, 0.015))
    pen.disc((60, 52, 44), (-0.8, 0, 0.1))


def pencil(pen: Pen, rng: np.random.Generator) -> None:
    """A pencil, lying along x."""
    colour = pick(rng, (232, 176, 40), (196, 44, 44), (36, 96, 150), (40, 128, 84), (54, 54, 58))
    pen.bar(colour, (-0.78, -0.045, 0.74, 0.045))
    pen.bar(mix(colour, (255, 255, 255), share=0.35), (-0.78, -0.03, 0.74, -0.012))
    pen.bar(mix(colour, (0, 0, 0), share=0.35), (-0.78, 0.018, 0.74, 0.045))
    pen.shape((228, 196, 150), [(0.74, -0.045), (0.93, -0.012), (0.93, 0.012), (0.74, 0.045)])
    pen.shape((40, 38, 40), [(0.91, -0.015), (0.99, 0), (0.91, 0.015)])
    pen.bar((186, 186, 180), (-0.88, -0.046, -0.78, 0.046))
    pen.bar((224, 130, 130), (-0.99, -0.045, -0.88, 0.045), rounding=0.02)


def clip(pen: Pen, rng: np.random.Generator) -> None:
    """A paper clip."""
    metal = pick(rng, (150, 152, 156), (196, 60, 60), (60, 110, 170))
    wire = [
        (-0.2, -0.55),
        (-0.2, 0.7),
        (0.0, 0.88),
        (0.2, 0.7),
        (0.2, -0.72),
        (-0.02, -0.93),
        (-0.33, -0.7),
        (-0.33, 0.5),
    ]
    pen.stroke(metal, wire, width=0.08, smooth=True)


def spoon(pen: Pen, rng: np.random.Generator) -> None:
    """A metal or a wooden spoon, lying along x."""
    body = pick(rng, (188, 188, 186), (196, 150, 98))
    pen.shape(body, [(-0.42, -0.03), (0.9, -0.055), (0.98, 0), (0.9, 0.055), (-0.42, 0.03)], smooth=True)
    pen.oval(body, (-0.7, 0, 0.29, 0.17))
    pen.oval(mix(body, (40, 36, 34), share=0.32), (-0.7, 0.01, 0.23, 0.125))
    pen.oval(mix(body, (255, 255, 255), share=0.5), (-0.76, 0.05, 0.1, 0.03))


def coffee(pen: Pen, rng: np.random.Generator) -> None:
    """A cup of coffee on its saucer, from above."""
    china = pick(rng, (240, 236, 228), (86, 124, 134), (206, 128, 92), (232, 204, 136))
    pen.disc(china, (-0.08, 0, 0.88))
    pen.ring(mix(china, (0, 0, 0), share=0.2), (-0.08, 0, 0.76), width=0.03)
    pen.bar(mix(china, (0, 0, 0), share=0.1), (0.3, -0.1, 0.78, 0.1), rounding=0.09)
    pen.disc(mix(china, (0, 0, 0), share=0.3), (-0.05, 0.05, 0.54))
    pen.disc(mix(china, (255, 255, 255), share=0.2), (-0.08, 0, 0.53))
    pen.disc((62, 38, 24), (-0.08, 0, 0.45))
    pen.bow((176, 124, 74), (-0.08, 0, 0.39), start=20, stop=250, width=0.05)
    pen.bow((120, 78, 44), (-0.08, 0, 0.28), start=190, stop=330, width=0.04)


def die(pen: Pen, rng: np.random.Generator) -> None:
    """A die."""
    colour = pick(rng, (240, 234, 220), (176, 36, 44), (34, 60, 96))
    pen.bar(colour, (-0.85, -0.85, 0.85, 0.85), rounding=0.22)
    dots = {
        1: ((0, 0),),
        3: ((-0.45, -0.45), (0, 0), (0.45, 0.45)),
        5: ((-0.45, -0.45), (0.45, -0.45), (0, 0), (-0.45, 0.45), (0.45, 0.45)),
    }
    ink = (30, 30, 34) if colour[0] > 200 else (240, 236, 226)
    for x, y in dots[int(rng.choice([1, 3, 5]))]:
        pen.disc(ink, (x, y, 0.17))


def screw(pen: Pen, rng: np.random.Generator) -> None:
    """A wood screw, lying along x."""
    metal = pick(rng, (170, 168, 160), (184, 154, 90), (120, 120, 124))
    pen.shape(metal, [(-0.72, -0.1), (0.8, -0.06), (0.98, 0), (0.8, 0.06), (-0.72, 0.1)])
    for index in range(13):
        x = -0.3 + 0.095 * index
        pen.stroke(mix(metal, (30, 28, 26), share=0.55), [(x, -0.11), (x + 0.06, 0.11)], width=0.025)
    pen.shape(metal, [(-0.98, -0.24), (-0.86, -0.26), (-0.66, -0.1), (-0.66, 0.1), (-0.86, 0.26), (-0.98, 0.24)])
    pen.bar((50, 46, 44), (-0.99, -0.04, -0.9, 0.04))


def washer(pen: Pen, rng: np.random.Generator) -> None:
    """A hexagon nut or a washer."""
    metal = pick(rng, (172, 172, 170), (186, 156, 92), (132, 130, 128))
    if rng.random() < 0.5:
        pen.ring(metal, (0, 0, 0.95), width=0.48)
        return
    hexagon = arc((0, 0, 0.97, 0.97), start=0, stop=300)[::10]
    hole = arc((0, 0, 0.45, 0.45), start=360, stop=0)
    pen.shape(metal, [*hexagon, hexagon[0], *hole])
    pen.ring(mix(metal, (0, 0, 0), share=0.4), (0, 0, 0.52), width=0.05)


def peg(pen: Pen, rng: np.random.Generator) -> None:
    """A wooden clothes peg, lying along x."""
    wood = pick(rng, (216, 184, 136), (190, 70, 60), (80, 130, 150))
    for side in (-1, 1):
        pen.shape(
            wood,
            [
                (-0.97, 0.03 * side),
                (0.97, 0.02 * side),
                (0.97, 0.13 * side),
                (0.0, 0.2 * side),
                (-0.97, 0.17 * side),
            ],
        )
    pen.bar((150, 150, 148), (-0.08, -0.22, 0.06, 0.22), rounding=0.05)
    pen.bar((96, 96, 96), (-0.02, -0.22, 0.0, 0.22))


def tag(pen: Pen, rng: np.random.Generator) -> None:
    """A price tag on a string."""
    paper = pick(rng, (240, 226, 190), (246, 244, 238), (240, 200, 96))
    pen.stroke((150, 60, 50), [(-0.72, 0), (-0.86, -0.2), (-0.98, 0.1), (-0.8, 0.28)], width=0.03, smooth=True)
    pen.shape(paper, [(-0.82, 0), (-0.6, -0.36), (0.95, -0.36), (0.95, 0.36), (-0.6, 0.36)])
    pen.disc((90, 70, 50), (-0.65, 0, 0.07))
    for y in (-0.12, 0.1):
        pen.stroke((70, 70, 90), [(-0.35, y), (0.1, y - 0.06), (0.3, y + 0.05), (0.7, y)], width=0.05, smooth=True)


def note(pen: Pen, rng: np.random.Generator) -> None:
    """A sticky note with scribbles."""
    paper = pick(rng, (250, 226, 110), (250, 176, 160), (176, 220, 196), (176, 206, 240))
    pen.bar(paper, (-0.95, -0.95, 0.95, 0.95))
    pen.bar(mix(paper, (0, 0, 0), share=0.08), (-0.95, -0.95, 0.95, -0.68))
    for row in range(4):
        y, stop = -0.4 + 0.32 * row, float(rng.uniform(0.1, 0.8))
        wave = [(x, y + float(rng.normal(0, 0.035))) for x in np.arange(-0.75, stop, 0.12)]
        pen.stroke((56, 60, 110), [(float(x), w) for x, w in wave], width=0.035, smooth=True)


def eraser(pen: Pen, rng: np.random.Generator) -> None:
    """An eraser in its paper band."""
    pen.bar((240, 236, 230), (-0.95, -0.42, 0.95, 0.42), rounding=0.12)
    pen.bar(pick(rng, (40, 70, 140), (180, 50, 50), (40, 110, 90)), (-0.3, -0.43, 0.95, 0.43), rounding=0.04)
    pen.bar((240, 236, 230), (-0.12, -0.1, 0.75, 0.06))


def cork(pen: Pen, rng: np.random.Generator) -> None:
    """A wine cork, lying along x."""
    pen.bar((206, 168, 120), (-0.95, -0.42, 0.95, 0.42), rounding=0.1)
    pen.bar((126, 40, 60), (-0.95, -0.42, -0.78, 0.42), rounding=0.08)
    for _ in range(30):
        x, y = float(rng.uniform(-0.75, 0.88)), float(rng.uniform(-0.36, 0.36))
        pen.oval((150, 110, 70), (x, y, 0.03, 0.018))


def glasses(pen: Pen, rng: np.random.Generator) -> None:
    """A pair of spectacles, folded."""
    frame = pick(rng, (44, 36, 36), (120, 70, 40), (150, 150, 150))
    for x in (-0.5, 0.5):
        pen.ring(frame, (x, 0.05, 0.38), width=0.07)
        pen.bow((235, 240, 244), (x, 0.05, 0.27), start=200, stop=250, width=0.035)
    pen.bow(frame, (0, 0.1, 0.16), start=200, stop=340, width=0.06)
    pen.stroke(frame, [(-0.88, 0), (-0.95, -0.2), (0.7, -0.36)], width=0.05)


def cap(pen: Pen, rng: np.random.Generator) -> None:
    """A crown cap."""
    colour = pick(rng, (190, 40, 40), (220, 180, 50), (40, 90, 150), (40, 120, 80), (210, 210, 206))
    pen.star(mix(colour, (200, 200, 200), share=0.3), (0, 0, 0.98), points=21, depth=0.9)
    pen.disc(colour, (0, 0, 0.74))
    pen.star(mix(colour, (255, 255, 255), share=0.75), (0, 0, 0.4), points=5)


def ruler(pen: Pen, rng: np.random.Generator) -> None:
    """A wooden ruler, lying along x."""
    pen.bar(pick(rng, (222, 184, 120), (206, 214, 216)), (-0.99, -0.075, 0.99, 0.075))
    for index in range(61):
        x = -0.96 + 0.032 * index
        pen.bar((50, 44, 40), (x - 0.002, -0.075, x + 0.002, -0.02 if index % 5 == 0 else -0.045))


def brush(pen: Pen, rng: np.random.Generator) -> None:
    """A paint brush, lying along x."""
    paint = pick(rng, (200, 60, 50), (50, 100, 160), (230, 180, 60), (70, 140, 90))
    handle = pick(rng, (150, 60, 40), (50, 50, 60), (200, 160, 100))
    pen.shape(
        handle,
        [(-0.98, 0), (-0.6, -0.05), (0.1, -0.045), (0.35, -0.03), (0.35, 0.03), (0.1, 0.045), (-0.6, 0.05)],
        smooth=True,
    )
    pen.bar((190, 190, 184), (0.3, -0.045, 0.6, 0.045))
    pen.shape((110, 80, 56), [(0.6, -0.05), (0.8, -0.06), (0.98, 0), (0.8, 0.06), (0.6, 0.05)], smooth=True)
    pen.shape(paint, [(0.8, -0.05), (0.99, 0), (0.8, 0.05)], smooth=True)
