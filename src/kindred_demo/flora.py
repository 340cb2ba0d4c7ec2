"""Small drawings of plants and the sky for covers, labels, stamps and tiles. See `kindred_demo.motifs`."""

from __future__ import annotations

import math

from kindred_demo.canvas import Pen, Point, arc
from kindred_demo.palettes import Palette, mix

__all__ = [
    "cactus",
    "cherries",
    "daisy",
    "fern",
    "lemon",
    "moon",
    "mountain",
    "mushroom",
    "pear",
    "sun",
    "tree",
    "tulip",
]


def sun(pen: Pen, inks: Palette) -> None:
    """A sun with alternating long and short rays."""
    for index in range(24):
        ray = pen.at((0, 0), 1.0, turn=15.0 * index)
        long = index % 2 == 0
        ink, tip, half = (inks.a, 1.0, 0.09) if long else (inks.b, 0.84, 0.06)
        ray.shape(ink, [(0.5, -half), (tip, 0), (0.5, half)])
    pen.disc(inks.b, (0, 0, 0.52))
    pen.disc(inks.a, (0, 0, 0.4))
    pen.disc(inks.b, (0, 0, 0.2))


def moon(pen: Pen, inks: Palette) -> None:
    """A crescent with stars."""
    outer = arc((0, 0, 0.8, 0.8), start=50, stop=310)
    inner = arc((0.36, 0, 0.68, 0.68), start=294, stop=66)
    pen.shape(inks.b, [*outer, *inner])
    for x, y, size in (
        (0.35, -0.1, 0.2),
        (0.75, -0.5, 0.15),
        (0.72, 0.4, 0.22),
        (0.25, 0.42, 0.1),
        (0.3, -0.5, 0.1),
    ):
        pen.star(inks.a, (x, y, size), depth=0.4)


def mountain(pen: Pen, inks: Palette) -> None:
    """Two peaks with snow before a setting sun."""
    pen.disc(inks.b, (0.28, -0.38, 0.42))
    pen.shape(inks.c, [(-0.2, 0.75), (0.5, -0.35), (1.0, 0.75)])
    pen.shape(inks.paper, [(0.5, -0.35), (0.33, -0.08), (0.46, -0.14), (0.55, -0.02), (0.68, 0.04)])
    pen.shape(inks.dark, [(-1.0, 0.75), (-0.3, -0.75), (0.45, 0.75)])
    pen.shape(
        inks.paper,
        [(-0.3, -0.75), (-0.58, -0.15), (-0.42, -0.25), (-0.28, -0.08), (-0.14, -0.26), (-0.02, -0.19)],
    )
    pen.bar(inks.a, (-1.0, 0.75, 1.0, 0.86))


def fern(pen: Pen, inks: Palette) -> None:
    """A branch with pairs of leaves."""
    pen.stroke(inks.dark, [(-0.05, 1.0), (0.0, 0.3), (0.0, -0.8)], width=0.05, smooth=True)
    for index in range(6):
        y, reach = 0.72 - 0.27 * index, 0.82 - 0.085 * index
        for side in (-1, 1):
            leaf = (
                pen.at((0, y), reach, turn=-32, flip=False) if side > 0 else pen.at((0, y), reach, turn=32, flip=True)
            )
            ink = inks.c if (index + (side > 0)) % 2 else inks.a
            leaf.shape(ink, [(0.02, 0), (0.4, -0.2), (1.0, 0), (0.4, 0.2)], smooth=True)
            leaf.stroke(inks.paper, [(0.08, 0), (0.8, 0)], width=0.025)
    pen.shape(inks.a, [(0, -0.68), (-0.1, -0.84), (0, -1.0), (0.1, -0.84)], smooth=True)


def tulip(pen: Pen, inks: Palette) -> None:
    """Three tulips on their stems."""
    for x, y, turn, ink in ((-0.5, -0.3, -14, inks.b), (0.5, -0.26, 14, inks.b), (0, -0.52, 0, inks.a)):
        pen.stroke(inks.c, [(x, y), (x * 0.5, 0.3), (x * 0.2, 0.98)], width=0.06, smooth=True)
        cup = pen.at((x, y), 0.4, turn=turn)
        cup.shape(
            ink,
            [
                (-0.8, -0.9),
                (-0.4, -0.5),
                (0, -1.1),
                (0.4, -0.5),
                (0.8, -0.9),
                (0.75, 0.2),
                (0, 0.75),
                (-0.75, 0.2),
            ],
        )
        cup.oval(ink, (0, 0.15, 0.76, 0.62))
        cup.shape(mix(ink, inks.dark, share=0.25), [(0, -1.1), (0.3, -0.2), (0, 0.6), (-0.3, -0.2)], smooth=True)
    for side in (-1, 1):
        pen.shape(
            inks.c,
            [(0.03 * side, 0.98), (0.35 * side, 0.55), (0.72 * side, 0.15), (0.5 * side, 0.75)],
            smooth=True,
        )


def daisy(pen: Pen, inks: Palette) -> None:
    """A big flower with two rows of petals."""
    for count, ink, length, half in ((14, inks.a, 0.98, 0.16), (14, inks.c, 0.72, 0.14)):
        for index in range(count):
            petal = pen.at((0, 0), 1.0, turn=360.0 / count * (index + (0.5 if ink == inks.c else 0)))
            petal.shape(ink, [(0.1, 0), (length * 0.6, -half), (length, 0), (length * 0.6, half)], smooth=True)
    pen.disc(inks.b, (0, 0, 0.34))
    for index in range(30):
        r, t = 0.055 * math.sqrt(index), 2.399963 * index  # the golden angle of a sunflower's seeds
        pen.disc(inks.dark, (r * math.cos(t), r * math.sin(t), 0.02))


def cactus(pen: Pen, inks: Palette) -> None:
    """A cactus in a pot, flowering."""
    pen.bar(inks.c, (-0.26, -0.8, 0.26, 0.4), rounding=0.26)
    for side, top, root in ((-1, -0.35, 0.05), (1, -0.55, -0.1)):
        pen.stroke(inks.c, [(0.2 * side, root), (0.58 * side, root), (0.58 * side, top)], width=0.22)
    for x in (-0.12, 0, 0.12):
        pen.stroke(inks.dark, [(x, -0.66), (x, 0.32)], width=0.02)
    pen.star(inks.a, (0, -0.8, 0.2), points=7, depth=0.5)
    pen.disc(inks.b, (0, -0.8, 0.07))
    pen.shape(inks.a, [(-0.5, 0.4), (0.5, 0.4), (0.38, 0.95), (-0.38, 0.95)])
    pen.bar(inks.b, (-0.56, 0.34, 0.56, 0.52))
    pen.stroke(inks.paper, [(-0.36 + 0.12 * i, 0.74 + (0.06 if i % 2 else -0.06)) for i in range(7)], width=0.04)


def mushroom(pen: Pen, inks: Palette) -> None:
    """A spotted toadstool with a small one beside it."""
    for x, y, size in ((-0.12, 0.0, 1.0), (0.62, 0.48, 0.44)):
        cap = pen.at((x, y), size)
        cap.shape(inks.paper, [(-0.2, -0.05), (0.2, -0.05), (0.28, 0.9), (-0.28, 0.9)])
        cap.shape(mix(inks.paper, inks.dark, share=0.2), [(0.05, -0.05), (0.2, -0.05), (0.28, 0.9), (0.1, 0.9)])
        cap.oval(inks.b, (0, -0.03, 0.8, 0.14))
        cap.shape(inks.a, arc((0, -0.05, 0.82, 0.84), start=180, stop=360))
        for sx, sy, r in (
            (-0.35, -0.42, 0.14),
            (0.18, -0.6, 0.12),
            (0.45, -0.28, 0.11),
            (-0.02, -0.24, 0.08),
            (-0.62, -0.16, 0.07),
        ):
            cap.disc(inks.paper, (sx, sy, r))
    for x in (-0.7, -0.5, 0.2, 0.36, 0.9):
        pen.stroke(inks.c, [(x, 0.95), (x - 0.06, 0.66)], width=0.06)


def tree(pen: Pen, inks: Palette) -> None:
    """A round tree full of fruit."""
    pen.shape(inks.dark, [(-0.1, 0.95), (-0.07, 0.2), (0.07, 0.2), (0.1, 0.95)])
    for turn in (-35, 35):
        pen.at((0, 0.45), 1.0, turn=turn).stroke(inks.dark, [(0, 0), (0, -0.5)], width=0.06)
    for x, y, r in ((0, -0.42, 0.52), (-0.42, -0.12, 0.4), (0.42, -0.12, 0.4), (0, 0.02, 0.36)):
        pen.disc(inks.c, (x, y, r))
    for x, y in (
        (-0.5, -0.2),
        (-0.18, -0.56),
        (0.2, -0.3),
        (0.5, 0.0),
        (-0.1, 0.05),
        (0.36, -0.62),
        (-0.24, -0.2),
    ):
        pen.disc(inks.a, (x, y, 0.09))
        pen.disc(inks.b, (x - 0.03, y - 0.03, 0.025))
    pen.bar(inks.b, (-0.8, 0.92, 0.8, 1.0))


def pear(pen: Pen, inks: Palette) -> None:
    """A pear with a leaf."""
    outline: list[Point] = [
        (0, -0.72),
        (0.28, -0.5),
        (0.34, -0.1),
        (0.66, 0.4),
        (0.4, 0.88),
        (0, 0.94),
        (-0.4, 0.88),
        (-0.66, 0.4),
        (-0.34, -0.1),
        (-0.28, -0.5),
    ]
    pen.shape(inks.b, outline, smooth=True)
    pen.shape(
        inks.a,
        [
            (0.1, -0.68),
            (0.28, -0.5),
            (0.34, -0.1),
            (0.66, 0.4),
            (0.4, 0.88),
            (0.1, 0.92),
            (0.34, 0.5),
            (0.1, 0.0),
        ],
        smooth=True,
    )
    pen.stroke(inks.dark, [(0, -0.68), (0.02, -0.85), (0.12, -1.0)], width=0.07, smooth=True)
    pen.shape(inks.c, [(0.04, -0.8), (0.35, -1.0), (0.75, -0.82), (0.4, -0.66)], smooth=True)
    pen.stroke(inks.paper, [(0.15, -0.82), (0.6, -0.82)], width=0.025)
    pen.stroke(inks.paper, [(-0.42, 0.25), (-0.48, 0.45), (-0.38, 0.66)], width=0.06, smooth=True)


def lemon(pen: Pen, inks: Palette) -> None:
    """A lemon and a cut half."""
    whole = pen.at((-0.22, -0.2), 0.75, turn=-25)
    whole.shape(inks.c, [(0.4, -0.6), (0.75, -1.05), (1.2, -0.95), (0.9, -0.55)], smooth=True)
    whole.shape(
        inks.b,
        [
            (-1.02, 0),
            (-0.8, -0.2),
            (-0.3, -0.62),
            (0.35, -0.6),
            (0.8, -0.2),
            (1.05, 0),
            (0.8, 0.22),
            (0.3, 0.62),
            (-0.35, 0.6),
            (-0.8, 0.2),
        ],
        smooth=True,
    )
    whole.bow(inks.paper, (0, 0, 0.42), start=190, stop=260, width=0.07)
    pen.disc(inks.b, (0.42, 0.42, 0.52))
    pen.disc(inks.paper, (0.42, 0.42, 0.46))
    for index in range(9):
        pen.pie(inks.a, (0.42, 0.42, 0.42), start=40 * index + 3, stop=40 * index + 36)
    pen.disc(inks.paper, (0.42, 0.42, 0.06))


def cherries(pen: Pen, inks: Palette) -> None:
    """A pair of cherries."""
    for x, y in ((-0.42, 0.5), (0.46, 0.42)):
        pen.stroke(inks.dark, [(x, y - 0.3), (x * 0.7, -0.3), (0.1, -0.82)], width=0.05, smooth=True)
        pen.disc(inks.a, (x, y, 0.42))
        pen.bow(inks.paper, (x, y, 0.28), start=190, stop=255, width=0.06)
    pen.shape(
        inks.c,
        [(0.08, -0.82), (0.3, -1.02), (0.7, -1.0), (0.98, -0.72), (0.55, -0.62), (0.25, -0.65)],
        smooth=True,
    )
    pen.stroke(inks.paper, [(0.2, -0.83), (0.8, -0.78)], width=0.025)
