"""Small drawings of man-made objects, for covers, labels and stamps. See `kindred_demo.motifs`."""

from __future__ import annotations

from kindred_demo.canvas import Pen, arc
from kindred_demo.palettes import Palette, mix

__all__ = [
    "anchor",
    "balloon",
    "bicycle",
    "camera",
    "crown",
    "cup",
    "eye",
    "guitar",
    "house",
    "key",
    "lantern",
    "lighthouse",
    "rocket",
    "sailboat",
    "teapot",
    "umbrella",
]


def _waves(pen: Pen, inks: Palette, *, top: float) -> None:
    for row, ink in ((top, inks.c), (top + 0.17, inks.dark)):
        pen.stroke(
            ink,
            [(-0.92 + 0.184 * i, row + (0.05 if i % 2 else -0.05)) for i in range(11)],
            width=0.07,
            smooth=True,
        )


def sailboat(pen: Pen, inks: Palette) -> None:
    """A boat under two sails."""
    pen.stroke(inks.dark, [(0, 0.4), (0, -0.98)], width=0.045)
    pen.shape(inks.a, [(0.06, -0.95), (0.75, 0.25), (0.06, 0.25)])
    pen.shape(inks.b, [(-0.06, -0.78), (-0.06, 0.25), (-0.6, 0.25)])
    pen.bar(inks.paper, (0.06, -0.2, 0.49, -0.1))
    pen.shape(inks.dark, [(-0.85, 0.36), (0.9, 0.36), (0.6, 0.7), (-0.55, 0.7)])
    pen.shape(inks.a, [(-0.85, 0.36), (0.9, 0.36), (0.84, 0.43), (-0.78, 0.43)])
    _waves(pen, inks, top=0.76)


def lighthouse(pen: Pen, inks: Palette) -> None:
    """A striped lighthouse that shines to both sides."""
    for side in (-1, 1):
        pen.shape(inks.b, [(0, -0.62), (1.0 * side, -0.9), (1.0 * side, -0.42)], opacity=0.85)
    body = [(-0.2, -0.45), (0.2, -0.45), (0.36, 0.8), (-0.36, 0.8)]
    pen.shape(inks.paper, body)
    for top in (-0.35, 0.05, 0.45):
        spread, foot = 0.2 + (top + 0.45) * 0.128, 0.2 + (top + 0.65) * 0.128
        pen.shape(inks.a, [(-spread, top), (spread, top), (foot, top + 0.2), (-foot, top + 0.2)])
    pen.bar(inks.dark, (-0.3, -0.52, 0.3, -0.44))
    pen.bar(inks.b, (-0.15, -0.75, 0.15, -0.52))
    pen.stroke(inks.dark, [(0, -0.75), (0, -0.52)], width=0.03)
    pen.shape(inks.a, [(-0.24, -0.74), (0, -1.0), (0.24, -0.74)])
    pen.bar(inks.dark, (-0.09, 0.58, 0.09, 0.8), rounding=0.08)
    pen.shape(inks.dark, [(-0.95, 0.95), (-0.6, 0.78), (0.0, 0.74), (0.6, 0.8), (0.95, 0.95)], smooth=True)


def cup(pen: Pen, inks: Palette) -> None:
    """A steaming cup on its saucer."""
    pen.ring(inks.a, (0.6, 0.12, 0.28), width=0.1)
    pen.shape(inks.a, [(-0.68, -0.22), (0.62, -0.22), (0.55, 0.3), (0.25, 0.62), (-0.3, 0.62), (-0.6, 0.3)])
    pen.oval(inks.paper, (-0.03, -0.22, 0.65, 0.13))
    pen.oval(inks.dark, (-0.03, -0.2, 0.54, 0.085))
    pen.stroke(inks.b, [(-0.55 + 0.18 * i, 0.2 + (0.07 if i % 2 else -0.07)) for i in range(7)], width=0.05)
    pen.oval(inks.c, (-0.03, 0.72, 0.9, 0.13))
    pen.oval(inks.paper, (-0.03, 0.69, 0.5, 0.05))
    for x in (-0.36, -0.03, 0.3):
        pen.stroke(
            inks.b,
            [(x, -0.4), (x + 0.1, -0.56), (x - 0.08, -0.74), (x + 0.04, -0.95)],
            width=0.06,
            smooth=True,
        )


def teapot(pen: Pen, inks: Palette) -> None:
    """A round teapot with a band of dots."""
    pen.stroke(inks.c, [(-0.5, -0.1), (-0.95, -0.25), (-0.9, 0.3), (-0.5, 0.35)], width=0.11, smooth=True)
    pen.shape(
        inks.c,
        [(0.45, 0.35), (0.72, 0.1), (0.78, -0.35), (1.0, -0.42), (0.98, -0.1), (0.75, 0.5)],
        smooth=True,
    )
    pen.oval(inks.a, (0, 0.18, 0.66, 0.56))
    pen.oval(inks.b, (0, -0.32, 0.34, 0.13))
    pen.disc(inks.dark, (0, -0.5, 0.11))
    pen.bar(inks.dark, (-0.34, 0.7, 0.34, 0.8), rounding=0.05)
    for index in range(5):
        pen.disc(inks.paper, (-0.44 + 0.22 * index, 0.22, 0.08))
        pen.disc(inks.dark, (-0.44 + 0.22 * index, 0.22, 0.03))
    pen.bow(inks.paper, (0, 0.18, 0.5), start=205, stop=245, width=0.05)


def house(pen: Pen, inks: Palette) -> None:
    """A small house with a smoking chimney."""
    pen.bar(inks.dark, (0.32, -0.85, 0.52, -0.3))
    for x, y, r in ((0.46, -0.96, 0.09), (0.62, -0.98, 0.07)):
        pen.disc(inks.c, (x, y, r))
    pen.bar(inks.b, (-0.68, -0.15, 0.68, 0.9))
    pen.shape(inks.a, [(-0.88, -0.1), (0, -0.8), (0.88, -0.1)])
    for x in (-0.5, 0.2):
        pen.bar(inks.paper, (x, 0.05, x + 0.32, 0.38))
        pen.stroke(inks.dark, [(x + 0.16, 0.05), (x + 0.16, 0.38)], width=0.03)
        pen.stroke(inks.dark, [(x, 0.215), (x + 0.32, 0.215)], width=0.03)
    pen.bar(inks.dark, (-0.46, 0.5, -0.16, 0.9), rounding=0.04)
    pen.disc(inks.paper, (0, -0.38, 0.12))
    pen.disc(inks.dark, (0, -0.38, 0.07))
    for x in (0.1, 0.3, 0.5):
        pen.oval(inks.c, (x, 0.84, 0.14, 0.12))


def balloon(pen: Pen, inks: Palette) -> None:
    """A hot-air balloon."""
    outline = [
        (0, -0.98),
        (0.5, -0.82),
        (0.68, -0.38),
        (0.45, 0.1),
        (0.16, 0.42),
        (-0.16, 0.42),
        (-0.45, 0.1),
        (-0.68, -0.38),
        (-0.5, -0.82),
    ]
    pen.shape(inks.a, outline, smooth=True)
    for share, ink in ((0.64, inks.paper), (0.26, inks.b)):
        pen.shape(ink, [(x * share, y) for x, y in outline], smooth=True)
    pen.stroke(inks.dark, [(-0.13, 0.42), (-0.12, 0.7)], width=0.025)
    pen.stroke(inks.dark, [(0.13, 0.42), (0.12, 0.7)], width=0.025)
    pen.bar(inks.dark, (-0.18, 0.68, 0.18, 0.96), rounding=0.05)
    pen.bar(inks.c, (-0.18, 0.76, 0.18, 0.82))
    for x, y in ((-0.8, 0.5), (0.75, 0.62)):
        pen.bar(inks.c, (x - 0.2, y - 0.05, x + 0.2, y + 0.05), rounding=0.05)
        pen.disc(inks.c, (x, y - 0.05, 0.09))


def bicycle(pen: Pen, inks: Palette) -> None:
    """A bicycle."""
    for x in (-0.55, 0.55):
        pen.ring(inks.dark, (x, 0.35, 0.42), width=0.07)
        for turn in range(0, 180, 30):
            pen.at((x, 0.35), 0.38, turn=turn).stroke(inks.b, [(-1, 0), (1, 0)], width=0.035)
        pen.disc(inks.dark, (x, 0.35, 0.06))
    pen.stroke(inks.a, [(-0.55, 0.35), (-0.28, -0.25), (0.36, -0.25), (-0.02, 0.35), (-0.55, 0.35)], width=0.07)
    pen.stroke(inks.a, [(-0.34, -0.42), (-0.02, 0.35)], width=0.07)
    pen.stroke(inks.a, [(0.55, 0.35), (0.32, -0.45)], width=0.07)
    pen.stroke(inks.dark, [(0.2, -0.5), (0.34, -0.52), (0.5, -0.46)], width=0.06, smooth=True)
    pen.bar(inks.dark, (-0.52, -0.5, -0.2, -0.4), rounding=0.05)
    pen.disc(inks.c, (-0.02, 0.35, 0.1))


def rocket(pen: Pen, inks: Palette) -> None:
    """A rocket flying to the upper right."""
    up = pen.at((0, 0), 1.0, turn=35)
    up.shape(inks.b, [(-0.2, 0.5), (0, 1.05), (0.2, 0.5)])
    up.shape(inks.paper, [(-0.1, 0.5), (0, 0.8), (0.1, 0.5)])
    for side in (-1, 1):
        up.shape(inks.c, [(0.22 * side, 0.05), (0.55 * side, 0.5), (0.5 * side, 0.72), (0.2 * side, 0.5)])
    up.shape(
        inks.a,
        [(0, -1.0), (0.26, -0.55), (0.3, 0.1), (0.2, 0.55), (-0.2, 0.55), (-0.3, 0.1), (-0.26, -0.55)],
        smooth=True,
    )
    up.disc(inks.paper, (0, -0.25, 0.17))
    up.disc(inks.dark, (0, -0.25, 0.11))
    up.bar(inks.dark, (-0.22, 0.4, 0.22, 0.48))
    for x, y in ((-0.75, -0.6), (-0.4, -0.85), (0.8, 0.5), (-0.85, 0.1), (0.5, 0.85)):
        pen.star(inks.b, (x, y, 0.1), points=4, depth=0.35)


def guitar(pen: Pen, inks: Palette) -> None:
    """A guitar, tilted."""
    body = pen.at((0, 0), 1.0, turn=30)
    body.bar(inks.dark, (-0.06, -0.9, 0.06, 0.3))
    body.bar(inks.dark, (-0.11, -1.08, 0.11, -0.86), rounding=0.03)
    body.shape(
        inks.a,
        [
            (0, -0.12),
            (0.32, -0.1),
            (0.34, 0.2),
            (0.5, 0.55),
            (0.3, 0.9),
            (0, 0.95),
            (-0.3, 0.9),
            (-0.5, 0.55),
            (-0.34, 0.2),
            (-0.32, -0.1),
        ],
        smooth=True,
    )
    body.disc(inks.b, (0, 0.28, 0.19))
    body.disc(inks.dark, (0, 0.28, 0.14))
    body.bar(inks.dark, (-0.17, 0.66, 0.17, 0.73))
    for x in (-0.03, 0.0, 0.03):
        body.stroke(inks.paper, [(x, -0.95), (x, 0.68)], width=0.012)


def key(pen: Pen, inks: Palette) -> None:
    """An old key."""
    old = pen.at((0, 0), 1.0, turn=-45)
    old.bar(inks.a, (-0.25, -0.07, 0.95, 0.07))
    for x, length in ((0.55, 0.26), (0.72, 0.2), (0.88, 0.3)):
        old.bar(inks.a, (x - 0.06, 0, x + 0.06, length))
    for x, y in ((-0.55, -0.24), (-0.55, 0.24), (-0.78, 0)):
        old.ring(inks.a, (x, y, 0.26), width=0.1)
    old.disc(inks.b, (-0.55, 0, 0.13))
    old.bar(inks.b, (-0.2, -0.12, -0.1, 0.12))


def eye(pen: Pen, inks: Palette) -> None:
    """An open eye with lashes."""
    for turn in range(-60, 61, 20):
        pen.at((0, 0.12), 1.0, turn=turn).stroke(inks.dark, [(0, -0.66), (0, -0.92)], width=0.06)
    lid = [*arc((0, 0.5, 1.12, 1.0), start=212, stop=328), *arc((0, -0.5, 1.12, 1.0), start=32, stop=148)]
    pen.shape(inks.dark, [(x * 1.04, y * 1.12) for x, y in lid])
    pen.shape(inks.paper, lid)
    pen.disc(inks.c, (0, 0, 0.4))
    for turn in range(0, 360, 24):
        pen.at((0, 0), 1.0, turn=turn).stroke(inks.b, [(0.24, 0), (0.35, 0)], width=0.04)
    pen.disc(inks.dark, (0, 0, 0.2))
    pen.disc(inks.paper, (-0.12, -0.14, 0.09))


def umbrella(pen: Pen, inks: Palette) -> None:
    """An umbrella in the rain."""
    pen.stroke(inks.dark, [(0, -0.6), (0, 0.7), (0.1, 0.88), (0.26, 0.84), (0.3, 0.68)], width=0.06)
    pen.shape(inks.a, arc((0, 0.06, 0.86, 0.82), start=180, stop=360))
    pen.shape(inks.b, arc((0, 0.06, 0.34, 0.82), start=180, stop=360))
    for x in (-0.6, 0.0, 0.6):
        pen.disc(mix(inks.a, inks.dark, share=0.25) if x else mix(inks.b, inks.dark, share=0.25), (x, 0.06, 0.03))
    pen.stroke(inks.dark, [(0, -0.74), (0, -0.9)], width=0.05)
    for x, y in (
        (-0.8, -0.7),
        (-0.5, -0.92),
        (0.55, -0.9),
        (0.85, -0.66),
        (-0.6, 0.55),
        (0.65, 0.5),
        (-0.3, 0.8),
    ):
        pen.stroke(inks.c, [(x, y), (x - 0.06, y + 0.16)], width=0.045)


def anchor(pen: Pen, inks: Palette) -> None:
    """An anchor with a rope."""
    pen.ring(inks.a, (0, -0.74, 0.2), width=0.08)
    pen.bar(inks.a, (-0.08, -0.58, 0.08, 0.82))
    pen.bar(inks.a, (-0.4, -0.4, 0.4, -0.26), rounding=0.07)
    pen.bow(inks.a, (0, 0.12, 0.68), start=20, stop=160, width=0.14)
    for side in (-1, 1):
        pen.shape(inks.a, [(0.42 * side, 0.32), (0.95 * side, 0.42), (0.8 * side, 0.02)])
    pen.stroke(
        inks.b,
        [(0.1, -0.7), (0.4, -0.6), (-0.2, -0.1), (0.35, 0.2), (-0.2, 0.5), (0.3, 0.75)],
        width=0.06,
        smooth=True,
    )


def crown(pen: Pen, inks: Palette) -> None:
    """A crown with five points."""
    pen.shape(
        inks.b,
        [
            (-0.85, 0.45),
            (-0.95, -0.4),
            (-0.5, 0.05),
            (-0.38, -0.65),
            (0, -0.05),
            (0.38, -0.65),
            (0.5, 0.05),
            (0.95, -0.4),
            (0.85, 0.45),
        ],
    )
    for x, y in ((-0.95, -0.44), (-0.38, -0.7), (0.38, -0.7), (0.95, -0.44)):
        pen.disc(inks.a, (x, y, 0.11))
    pen.bar(inks.a, (-0.88, 0.42, 0.88, 0.72), rounding=0.05)
    for index in range(5):
        stone = pen.at((-0.6 + 0.3 * index, 0.57), 0.1)
        stone.shape(inks.paper if index % 2 else inks.c, [(-1, 0), (0, -1), (1, 0), (0, 1)])


def lantern(pen: Pen, inks: Palette) -> None:
    """A lit lantern."""
    pen.disc(inks.b, (0, 0.1, 0.72))
    pen.bow(inks.dark, (0, -0.62, 0.3), start=180, stop=360, width=0.06)
    pen.shape(inks.dark, [(-0.46, -0.45), (-0.2, -0.72), (0.2, -0.72), (0.46, -0.45)])
    pen.bar(inks.paper, (-0.36, -0.45, 0.36, 0.65))
    pen.shape(inks.a, [(0, -0.3), (0.2, 0.15), (0, 0.45), (-0.2, 0.15)], smooth=True)
    pen.shape(inks.b, [(0, 0.0), (0.1, 0.22), (0, 0.42), (-0.1, 0.22)], smooth=True)
    for x in (-0.36, 0.36):
        pen.bar(inks.dark, (x - 0.05, -0.45, x + 0.05, 0.68))
    pen.bar(inks.dark, (-0.5, 0.62, 0.5, 0.88), rounding=0.05)
    pen.bar(inks.c, (-0.5, 0.7, 0.5, 0.78))


def camera(pen: Pen, inks: Palette) -> None:
    """A folding camera."""
    pen.bar(inks.dark, (-0.4, -0.72, 0.2, -0.4), rounding=0.06)
    pen.bar(inks.a, (0.45, -0.62, 0.7, -0.45), rounding=0.04)
    pen.bar(inks.c, (-0.92, -0.5, 0.92, 0.68), rounding=0.12)
    pen.bar(inks.dark, (-0.92, -0.22, 0.92, 0.42))
    pen.disc(inks.paper, (0, 0.1, 0.5))
    pen.disc(inks.dark, (0, 0.1, 0.42))
    pen.disc(inks.b, (0, 0.1, 0.28))
    pen.disc(inks.dark, (0, 0.1, 0.16))
    pen.disc(inks.paper, (-0.12, -0.02, 0.07))
    pen.disc(inks.a, (0.7, -0.35, 0.08))
