"""Small drawings of animals for covers, labels, stamps and tiles. See `kindred_demo.motifs`."""

from __future__ import annotations

import math

from kindred_demo.canvas import Pen
from kindred_demo.palettes import Palette

__all__ = ["bee", "bird", "butterfly", "cat", "fish", "owl", "snail", "whale"]


def fish(pen: Pen, inks: Palette) -> None:
    """A fish with scales, swimming left."""
    pen.shape(inks.c, [(0.45, 0), (0.98, -0.5), (0.85, 0), (0.98, 0.5)])
    pen.shape(inks.c, [(-0.2, -0.35), (0.1, -0.72), (0.45, -0.62), (0.3, -0.2)])
    pen.shape(
        inks.a,
        [
            (-1.0, 0.02),
            (-0.55, -0.36),
            (-0.05, -0.44),
            (0.6, -0.04),
            (0.6, 0.04),
            (-0.05, 0.44),
            (-0.55, 0.38),
        ],
        smooth=True,
    )
    for column in range(4):
        for row in range(-2, 3):
            x, y = -0.28 + 0.2 * column, 0.16 * row + (0.08 if column % 2 else 0.0)
            if abs(y) < 0.36 - 0.32 * max(0.0, x):
                pen.bow(inks.paper, (x, y, 0.09), start=-70, stop=70, width=0.035)
    pen.bow(inks.dark, (-0.75, 0, 0.36), start=-52, stop=52, width=0.05)
    pen.disc(inks.paper, (-0.68, -0.1, 0.1))
    pen.disc(inks.dark, (-0.69, -0.1, 0.055))


def bird(pen: Pen, inks: Palette) -> None:
    """A round bird on a twig."""
    pen.stroke(inks.dark, [(-1, 0.72), (-0.3, 0.66), (0.4, 0.72), (1, 0.6)], width=0.07, smooth=True)
    for x, turn in ((0.62, -50), (0.8, 20), (-0.75, -40)):
        leaf = pen.at((x, 0.62), 0.2, turn=turn)
        leaf.shape(inks.c, [(0, 0), (0.5, -0.35), (1.2, 0), (0.5, 0.35)], smooth=True)
    pen.shape(inks.b, [(0.3, 0.25), (0.98, 0.12), (0.92, 0.36), (0.4, 0.5)])
    pen.stroke(inks.dark, [(-0.1, 0.5), (-0.12, 0.68)], width=0.05)
    pen.stroke(inks.dark, [(0.12, 0.5), (0.14, 0.68)], width=0.05)
    pen.shape(
        inks.a,
        [
            (-0.62, -0.4),
            (-0.35, -0.72),
            (0, -0.6),
            (0.2, -0.2),
            (0.62, 0.15),
            (0.35, 0.5),
            (-0.2, 0.55),
            (-0.56, 0.15),
        ],
        smooth=True,
    )
    pen.shape(inks.paper, [(-0.5, 0.0), (-0.25, -0.1), (-0.05, 0.25), (-0.1, 0.5), (-0.35, 0.4)], smooth=True)
    pen.shape(inks.b, [(-0.1, -0.1), (0.25, 0.0), (0.62, 0.3), (0.15, 0.36), (-0.08, 0.15)], smooth=True)
    pen.shape(inks.dark, [(-0.6, -0.45), (-0.88, -0.3), (-0.57, -0.24)])
    pen.disc(inks.dark, (-0.38, -0.42, 0.07))
    pen.disc(inks.paper, (-0.4, -0.44, 0.025))


def whale(pen: Pen, inks: Palette) -> None:
    """A whale that spouts above two waves."""
    for side in (-1, 1):
        pen.stroke(
            inks.b,
            [(-0.3, -0.4), (-0.3 + 0.1 * side, -0.8), (-0.3 + 0.36 * side, -0.72)],
            width=0.07,
            smooth=True,
        )
    pen.shape(
        inks.a,
        [
            (0.5, 0.05),
            (0.72, -0.25),
            (0.5, -0.55),
            (0.82, -0.5),
            (0.92, -0.34),
            (1.0, -0.55),
            (1.0, -0.2),
            (0.9, 0.2),
        ],
    )
    pen.shape(
        inks.a,
        [
            (-0.95, 0.1),
            (-0.7, -0.32),
            (-0.2, -0.42),
            (0.3, -0.2),
            (0.75, -0.16),
            (0.92, 0.1),
            (0.6, 0.42),
            (-0.1, 0.5),
            (-0.75, 0.42),
        ],
        smooth=True,
    )
    pen.shape(
        inks.paper,
        [(-0.9, 0.2), (-0.5, 0.2), (0.1, 0.34), (0.3, 0.42), (-0.1, 0.5), (-0.72, 0.42)],
        smooth=True,
    )
    pen.disc(inks.dark, (-0.58, 0.02, 0.06))
    for row, ink in ((0.56, inks.c), (0.78, inks.dark)):
        pen.stroke(
            ink,
            [(-0.95 + 0.19 * i, row + (0.06 if i % 2 else -0.06)) for i in range(11)],
            width=0.07,
            smooth=True,
        )


def cat(pen: Pen, inks: Palette) -> None:
    """A sitting cat seen from the front."""
    pen.stroke(inks.a, [(0.35, 0.8), (0.8, 0.75), (0.85, 0.3), (0.65, 0.1)], width=0.16, smooth=True)
    pen.shape(
        inks.a,
        [(-0.3, -0.2), (0.3, -0.2), (0.52, 0.5), (0.45, 0.88), (-0.45, 0.88), (-0.52, 0.5)],
        smooth=True,
    )
    pen.shape(inks.a, [(-0.48, -0.35), (-0.46, -0.98), (-0.12, -0.72), (0.12, -0.72), (0.46, -0.98), (0.48, -0.35)])
    pen.oval(inks.a, (0, -0.38, 0.5, 0.4))
    for side in (-1, 1):
        pen.shape(inks.b, [(0.4 * side, -0.6), (0.39 * side, -0.84), (0.2 * side, -0.68)])
        pen.oval(inks.paper, (0.2 * side, -0.42, 0.13, 0.1))
        pen.oval(inks.dark, (0.2 * side, -0.42, 0.05, 0.095))
        for lift in (-0.06, 0.02, 0.1):
            pen.stroke(inks.dark, [(0.16 * side, -0.2), (0.62 * side, -0.2 + lift)], width=0.02)
    pen.shape(inks.dark, [(-0.07, -0.28), (0.07, -0.28), (0, -0.2)])
    pen.oval(inks.paper, (0, 0.25, 0.24, 0.34))
    for stripe in (-0.1, 0.0, 0.1):
        pen.stroke(inks.dark, [(stripe, -0.76), (stripe * 0.8, -0.62)], width=0.045)


def owl(pen: Pen, inks: Palette) -> None:
    """An owl with a patterned breast."""
    pen.shape(
        inks.c,
        [
            (-0.55, -0.95),
            (-0.1, -0.75),
            (0.1, -0.75),
            (0.55, -0.95),
            (0.68, -0.2),
            (0.6, 0.55),
            (0, 0.92),
            (-0.6, 0.55),
            (-0.68, -0.2),
        ],
    )
    pen.shape(inks.paper, [(-0.38, 0.05), (0.38, 0.05), (0.4, 0.5), (0, 0.84), (-0.4, 0.5)], smooth=True)
    for row in range(4):
        for column in range(-1, 2):
            x = 0.22 * column + (0.11 if row % 2 else 0)
            if abs(x) < 0.3:
                pen.shape(
                    inks.a,
                    [(x - 0.09, 0.14 + 0.15 * row), (x + 0.09, 0.14 + 0.15 * row), (x, 0.27 + 0.15 * row)],
                )
    for side in (-1, 1):
        pen.shape(
            inks.dark,
            [(0.5 * side, -0.05), (0.78 * side, 0.2), (0.6 * side, 0.7), (0.42 * side, 0.45)],
            smooth=True,
        )
        pen.disc(inks.paper, (0.27 * side, -0.34, 0.3))
        pen.disc(inks.b, (0.27 * side, -0.34, 0.2))
        pen.disc(inks.dark, (0.25 * side, -0.34, 0.11))
        pen.disc(inks.paper, (0.22 * side + 0.04, -0.39, 0.035))
    pen.shape(inks.a, [(-0.1, -0.2), (0.1, -0.2), (0, 0.04)])


def snail(pen: Pen, inks: Palette) -> None:
    """A snail with a spiral shell."""
    pen.shape(
        inks.b,
        [
            (-0.98, 0.62),
            (-0.9, 0.2),
            (-0.72, 0.12),
            (-0.6, 0.4),
            (0.1, 0.46),
            (0.7, 0.5),
            (0.98, 0.72),
            (0.5, 0.76),
            (-0.7, 0.76),
        ],
        smooth=True,
    )
    for tip in (-1.0, -0.72):
        pen.stroke(inks.b, [(-0.8, 0.24), (tip, -0.22)], width=0.06)
        pen.disc(inks.dark, (tip, -0.24, 0.06))
    pen.disc(inks.a, (0.1, -0.08, 0.62))
    spiral = [
        (0.1 + r * math.cos(t), -0.08 + r * math.sin(t)) for t, r in ((0.35 * i, 0.56 - 0.0145 * i) for i in range(38))
    ]
    pen.stroke(inks.paper, spiral, width=0.07)


def butterfly(pen: Pen, inks: Palette) -> None:
    """A butterfly seen from above."""
    for side in (-1, 1):
        pen.shape(
            inks.a,
            [
                (0.05 * side, -0.1),
                (0.35 * side, -0.72),
                (0.95 * side, -0.8),
                (0.92 * side, -0.25),
                (0.4 * side, 0.05),
            ],
            smooth=True,
        )
        pen.shape(
            inks.c,
            [
                (0.05 * side, 0.05),
                (0.55 * side, 0.05),
                (0.78 * side, 0.42),
                (0.5 * side, 0.82),
                (0.2 * side, 0.55),
            ],
            smooth=True,
        )
        pen.disc(inks.paper, (0.66 * side, -0.5, 0.16))
        pen.disc(inks.dark, (0.66 * side, -0.5, 0.08))
        pen.disc(inks.b, (0.46 * side, 0.42, 0.14))
        pen.stroke(
            inks.dark,
            [(0.02 * side, -0.42), (0.14 * side, -0.7), (0.3 * side, -0.92)],
            width=0.035,
            smooth=True,
        )
    pen.oval(inks.dark, (0, 0.06, 0.08, 0.55))


def bee(pen: Pen, inks: Palette) -> None:
    """A bee seen from above."""
    for side in (-1, 1):
        wing = pen.at((0.1 * side, -0.2), 0.75, turn=-28 if side > 0 else 28, flip=side < 0)
        wing.shape(inks.c, [(0, 0), (0.5, -0.34), (1.1, -0.2), (1.05, 0.15), (0.5, 0.2)], smooth=True)
        wing.shape(inks.c, [(0, 0.2), (0.5, 0.2), (0.8, 0.5), (0.55, 0.66), (0.2, 0.5)], smooth=True)
        wing.stroke(inks.paper, [(0.1, 0), (0.95, -0.02)], width=0.03)
        pen.stroke(
            inks.dark,
            [(0.08 * side, -0.6), (0.18 * side, -0.85), (0.32 * side, -0.92)],
            width=0.04,
            smooth=True,
        )
    pen.shape(inks.b, [(-0.24, -0.2), (0.24, -0.2), (0.34, 0.3), (0, 0.95), (-0.34, 0.3)], smooth=True)
    for y, half in ((0.02, 0.3), (0.28, 0.33), (0.54, 0.25)):
        pen.stroke(inks.dark, [(-half + 0.06, y), (half - 0.06, y)], width=0.11)
    pen.disc(inks.dark, (0, -0.3, 0.24))
    pen.disc(inks.a, (0, -0.56, 0.19))
