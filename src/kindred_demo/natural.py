"""Leaves, stones, shells and fruit, as clutter in photographs. See `kindred_demo.clutter`."""

from __future__ import annotations

import math

import numpy as np

from kindred_demo.canvas import Pen
from kindred_demo.palettes import mix, pick

__all__ = [
    "acorn",
    "apple",
    "berry",
    "citrus",
    "feather",
    "flower",
    "leaf",
    "pebble",
    "shell",
    "starfish",
    "twig",
    "walnut",
]


def leaf(pen: Pen, rng: np.random.Generator) -> None:
    """A fallen leaf with its veins."""
    colour = pick(rng, (96, 128, 56), (176, 110, 40), (150, 62, 36), (196, 156, 56), (70, 106, 60))
    pen.shape(colour, [(-0.85, 0), (-0.3, -0.42), (0.4, -0.36), (0.95, 0), (0.4, 0.38), (-0.3, 0.42)], smooth=True)
    vein = mix(colour, (250, 240, 190), share=0.4)
    pen.stroke(mix(colour, (70, 44, 20)), [(-1, 0.05), (-0.7, 0)], width=0.05)
    pen.stroke(vein, [(-0.8, 0), (0.85, 0)], width=0.03)
    for x in (-0.5, -0.2, 0.1, 0.4):
        for side in (-1, 1):
            pen.stroke(vein, [(x, 0), (x + 0.22, 0.26 * side * (1 - abs(x)))], width=0.018)


def flower(pen: Pen, rng: np.random.Generator) -> None:
    """A daisy flower."""
    petals = pick(rng, (246, 244, 238), (240, 206, 80), (214, 120, 156), (150, 120, 190))
    for index in range(13):
        petal = pen.at((0, 0), 1.0, turn=360 / 13 * index + float(rng.normal(0, 4)))
        tone = mix(petals, (120, 110, 130), share=float(rng.uniform(0, 0.18)))
        petal.shape(tone, [(0.15, 0), (0.6, -0.17), (0.97, 0), (0.6, 0.17)], smooth=True)
    pen.disc((222, 168, 40), (0, 0, 0.28))
    pen.disc((190, 130, 30), (0.04, 0.05, 0.18))


def pebble(pen: Pen, rng: np.random.Generator) -> None:
    """A smooth pebble."""
    colour = pick(rng, (150, 146, 140), (184, 170, 150), (110, 108, 112), (206, 200, 190), (142, 110, 90))
    radii = rng.uniform(0.75, 0.97, 8)
    outline = [
        (r * math.cos(t), 0.78 * r * math.sin(t)) for t, r in zip(np.arange(8) * math.pi / 4, radii, strict=True)
    ]
    pen.shape(colour, outline, smooth=True)
    pen.shape(
        mix(colour, (255, 255, 255), share=0.16),
        [(x * 0.5 - 0.16, y * 0.5 - 0.16) for x, y in outline],
        smooth=True,
    )
    for _ in range(int(rng.integers(0, 3))):
        y = float(rng.uniform(-0.3, 0.3))
        pen.stroke(
            mix(colour, (255, 255, 255), share=0.4),
            [(-0.7, y), (0, y + 0.08), (0.7, y)],
            width=0.04,
            smooth=True,
        )


def shell(pen: Pen, rng: np.random.Generator) -> None:
    """A scallop."""
    colour = pick(rng, (236, 206, 182), (222, 166, 140), (240, 230, 214), (196, 150, 150))
    pen.bar(colour, (-0.28, 0.6, 0.28, 0.86), rounding=0.1)
    fan = [(0.95 * math.cos(t), 0.7 + 1.55 * math.sin(t)) for t in np.linspace(math.pi * 1.04, math.pi * 1.96, 25)]
    pen.shape(colour, [(0, 0.84), *fan])
    for t in np.linspace(math.pi * 1.12, math.pi * 1.88, 8):
        tip = (0.9 * math.cos(t), 0.7 + 1.5 * math.sin(t))
        pen.stroke(mix(colour, (120, 70, 50), share=0.35), [(0, 0.78), tip], width=0.035)
    pen.stroke(mix(colour, (255, 255, 255)), [(x * 0.7, 0.7 + (y - 0.7) * 0.7) for x, y in fan], width=0.03)


def starfish(pen: Pen, rng: np.random.Generator) -> None:
    """A starfish."""
    colour = pick(rng, (214, 110, 70), (196, 70, 60), (226, 160, 90))
    points = []
    for index in range(10):
        t, r = math.radians(36 * index - 90), 0.95 if index % 2 == 0 else 0.36
        points.append((r * math.cos(t), r * math.sin(t)))
    pen.shape(colour, points, smooth=True)
    for index in range(5):
        arm = pen.at((0, 0), 1.0, turn=72.0 * index - 90)
        for x in (0.15, 0.3, 0.45, 0.6, 0.72):
            arm.disc(mix(colour, (255, 236, 200), share=0.55), (x, 0, 0.045))


def citrus(pen: Pen, rng: np.random.Generator) -> None:
    """A lemon or an orange."""
    if rng.random() < 0.5:
        pen.disc((226, 126, 30), (0, 0, 0.9))
        pen.star((92, 104, 40), (0.1, -0.1, 0.14))
        return
    outline = [
        (-0.98, 0),
        (-0.8, -0.16),
        (-0.4, -0.58),
        (0.3, -0.62),
        (0.78, -0.2),
        (1.0, 0),
        (0.78, 0.22),
        (0.3, 0.62),
        (-0.4, 0.58),
        (-0.8, 0.18),
    ]
    pen.shape((238, 204, 56), outline, smooth=True)
    for _ in range(40):
        x, y = float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.45, 0.45))
        pen.disc((222, 184, 40), (x, y, 0.015))


def apple(pen: Pen, rng: np.random.Generator) -> None:
    """An apple from above."""
    skin = pick(rng, (176, 40, 40), (140, 166, 60), (214, 160, 60))
    pen.disc(skin, (0, 0, 0.92))
    for _ in range(26):
        t, r = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.3, 0.8))
        streak = [(0.25 * math.cos(t), 0.25 * math.sin(t)), (r * math.cos(t), r * math.sin(t))]
        pen.stroke(mix(skin, (240, 200, 110), share=0.22), streak, width=0.035)
    pen.disc(mix(skin, (40, 30, 10), share=0.45), (0, 0, 0.2))
    pen.stroke((84, 58, 34), [(0, 0), (0.12, -0.16), (0.3, -0.26)], width=0.08, smooth=True)


def walnut(pen: Pen, rng: np.random.Generator) -> None:
    """A walnut in its shell."""
    pen.oval((176, 132, 84), (0, 0, 0.92, 0.78))
    for _ in range(22):
        x, y = float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.5, 0.5))
        wrinkle = [(x, y), (x + float(rng.normal(0, 0.15)), y + 0.12), (x + 0.15, y + 0.2)]
        pen.stroke((132, 92, 54), wrinkle, width=0.045, smooth=True)
    pen.stroke((120, 82, 46), [(-0.9, 0), (0, 0.05), (0.9, 0)], width=0.06, smooth=True)


def feather(pen: Pen, rng: np.random.Generator) -> None:
    """A feather, lying along x."""
    colour = pick(rng, (226, 222, 214), (110, 120, 134), (150, 116, 84))
    pen.shape(
        colour,
        [(-0.55, -0.05), (0.1, -0.2), (0.8, -0.16), (0.98, 0), (0.6, 0.13), (0, 0.16), (-0.5, 0.07)],
        smooth=True,
    )
    for index in range(14):
        x = -0.45 + 0.095 * index
        for side in (-1, 1):
            pen.stroke(mix(colour, (50, 44, 44), share=0.25), [(x, 0), (x + 0.12, 0.13 * side)], width=0.012)
    pen.stroke((240, 236, 226), [(-0.99, 0.04), (-0.4, 0), (0.9, 0)], width=0.025, smooth=True)


def twig(pen: Pen, rng: np.random.Generator) -> None:
    """A forked twig."""
    bark = pick(rng, (96, 72, 52), (126, 100, 76), (80, 66, 58))
    pen.stroke(bark, [(-0.97, 0.1), (-0.3, -0.02), (0.3, 0.06), (0.95, -0.08)], width=0.07, smooth=True)
    pen.stroke(bark, [(-0.1, 0.0), (0.2, -0.16), (0.5, -0.24)], width=0.05, smooth=True)
    pen.stroke(bark, [(0.3, 0.05), (0.5, 0.16), (0.62, 0.2)], width=0.04, smooth=True)


def berry(pen: Pen, rng: np.random.Generator) -> None:
    """A blueberry, a cherry tomato or a cranberry."""
    colour = pick(rng, (62, 72, 122), (196, 50, 40), (130, 24, 50))
    pen.disc(colour, (0, 0, 0.92))
    pen.star(mix(colour, (20, 20, 20)), (0.1, -0.1, 0.3), points=5)
    pen.disc(mix(colour, (255, 255, 255), share=0.6), (-0.35, -0.38, 0.12))


def acorn(pen: Pen, rng: np.random.Generator) -> None:
    """An acorn, lying along x."""
    pen.shape((176, 128, 62), [(-0.2, -0.5), (0.5, -0.42), (0.98, 0), (0.5, 0.42), (-0.2, 0.5)], smooth=True)
    pen.oval((112, 84, 52), (-0.35, 0, 0.36, 0.58))
    for _ in range(24):
        t, r = float(rng.uniform(0, 6.28)), float(rng.uniform(0, 0.9))
        pen.disc((140, 108, 70), (-0.35 + 0.3 * r * math.cos(t), 0.5 * r * math.sin(t), 0.05))
    pen.stroke((90, 66, 42), [(-0.7, 0), (-0.97, 0.1)], width=0.12)
