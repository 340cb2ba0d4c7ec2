"""Cereal boxes, tins, matchboxes, cassettes, tiles and mugs."""

from __future__ import annotations

import math

import numpy as np

from kindred_demo.canvas import Canvas, Pen, arc
from kindred_demo.lettering import lettering
from kindred_demo.palettes import Colour, Palette, mix
from kindred_demo.things import Design, Thing, face_canvas
from kindred_demo.wear import worn

__all__ = ["cassette", "cereal", "matchbox", "mug", "tile", "tin"]

CEREALS = ("FLAKES", "CRUNCH", "POPS", "LOOPS", "PUFFS", "MUESLI")
STORES = ("TEA", "COCOA", "COFFEE", "BISCUITS", "TOFFEE", "MUSTARD")


def cereal(design: Design) -> Thing:
    """A cereal box: a bowl, flying flakes, a large motif and a bold title."""
    width, height = 19.5, 28.0
    canvas = face_canvas(width, height, colour=design.inks.a)
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    for index in range(22):
        angles = [math.radians(360 * (index + part) / 22) for part in (0.0, 0.5)]
        edge = [(0.5 + 2 * math.cos(t), ratio * 0.6 + 2 * math.sin(t)) for t in angles]
        pen.shape(mix(inks.a, inks.paper, share=0.22), [(0.5, ratio * 0.6), *edge])
    pen.shape(inks.dark, [(0, 0), (1, 0), (1, ratio * 0.24), (0.5, ratio * 0.31), (0, ratio * 0.24)])
    product = str(design.rng.choice(CEREALS))
    lettering(
        pen,
        design.noun.upper(),
        box=(0.07, 0.06, 0.93, 0.2),
        ink=inks.b,
        weight=0.11,
        stretch=1.6,
        slant=0.12,
    )
    lettering(pen, product, box=(0.14, 0.225, 0.86, 0.335), ink=inks.paper, weight=0.11, stretch=1.6, slant=0.12)
    _bowl(pen, centre=(0.5, ratio * 0.82), inks=inks, rng=design.rng)
    pen.disc(inks.paper, (0.5, ratio * 0.52, 0.275))
    pen.ring(inks.dark, (0.5, ratio * 0.52, 0.275), width=0.014)
    design.motif(pen.at((0.5, ratio * 0.52), 0.215), inks.on(inks.paper))
    burst = pen.at((0.83, ratio * 0.37), 0.13, turn=14)
    burst.star(inks.c, (0, 0, 1.0), points=14, depth=0.8)
    lettering(pen, "NEW", box=(0.76, ratio * 0.35, 0.9, ratio * 0.39), ink=inks.paper, weight=0.1)
    lettering(pen, "500 g", box=(0.8, ratio - 0.09, 0.95, ratio - 0.04), ink=inks.paper, weight=0.04)
    face = worn(canvas.finished(), design.rng, strength=0.6)
    side, dark = mix(inks.a, inks.dark, share=0.15), mix(inks.a, (0, 0, 0), share=0.3)
    title = f"{design.noun} {product}"
    return Thing("cereal", title, face, width, height, 6.0, (inks.dark, side, dark, side), gloss=0.4)


def _bowl(pen: Pen, *, centre: tuple[float, float], inks: Palette, rng: np.random.Generator) -> None:
    x, y = centre
    flake = mix(inks.b, (150, 90, 30), share=0.35)
    pen.shape(inks.c, arc((x, y, 0.36, 0.23), start=0, stop=180))
    pen.oval(inks.paper, (x, y, 0.36, 0.07))
    for _ in range(70):
        radius, angle = 0.32 * math.sqrt(float(rng.random())), float(rng.uniform(0, 2 * math.pi))
        at = (
            x + radius * math.cos(angle),
            y - 0.012 + 0.17 * radius * math.sin(angle) - 0.03 * (0.32 - radius),
        )
        bit = pen.at(at, float(rng.uniform(0.022, 0.036)), turn=float(rng.uniform(0, 180)))
        bit.oval(mix(flake, inks.dark, share=float(rng.uniform(0, 0.25))), (0, 0, 1, 0.6))
    for _ in range(9):
        at = (x + float(rng.uniform(-0.42, 0.42)), y - float(rng.uniform(0.1, 0.28)))
        pen.at(at, 0.03, turn=float(rng.uniform(0, 180))).oval(flake, (0, 0, 1, 0.6))


def tin(design: Design) -> Thing:
    """The label of a round tin; it is bent in `kindred_demo.rounding`."""
    width, height = 9.0, 11.0
    canvas = Canvas(640, 440, colour=design.inks.c)
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    for index in range(16):
        x = index / 16
        pen.bar(mix(inks.c, inks.paper, share=0.16), (x, 0, x + 1 / 32, ratio))
    for y in (0.03, ratio - 0.09):
        pen.bar(inks.dark, (0, y, 1, y + 0.06))
        for index in range(40):
            pen.at(((index + 0.5) / 40, y + 0.03), 0.012).shape(inks.b, [(-1, 0), (0, -1), (1, 0), (0, 1)])
    store = str(design.rng.choice(STORES))
    inks = design.inks
    pen.oval(inks.dark, (0.5, ratio * 0.42, 0.185, 0.2))
    pen.oval(inks.paper, (0.5, ratio * 0.42, 0.175, 0.19))
    design.motif(pen.at((0.5, ratio * 0.42), 0.132), inks)
    pen.bar(inks.a, (0.26, ratio * 0.7, 0.74, ratio * 0.7 + 0.1), rounding=0.02)
    plate = (0.3, ratio * 0.7 + 0.02, 0.7, ratio * 0.7 + 0.08)
    lettering(pen, store, box=plate, ink=inks.paper, weight=0.07, stretch=1.5)
    face = worn(canvas.finished(), design.rng, strength=0.5)
    title = f"{design.phrase} {store}"
    return Thing("tin", title, face, width, height, 0.0, ((190, 190, 186),) * 4, form="tin", gloss=0.6)


def matchbox(design: Design) -> Thing:
    """A matchbox label with a border and two lines of text."""
    width, height = 5.4, 3.6
    canvas = face_canvas(width, height, longest=480, colour=design.inks.b)
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    pen.bar(inks.dark, (0.03, 0.03, 0.97, ratio - 0.03), rounding=0.03)
    pen.bar(inks.paper, (0.045, 0.045, 0.955, ratio - 0.045), rounding=0.02)
    pen.bar(inks.a, (0.06, 0.06, 0.94, ratio - 0.06))
    pen.disc(inks.paper, (0.28, ratio / 2, 0.2))
    design.motif(pen.at((0.28, ratio / 2), 0.165), inks)
    ink = inks.paper
    lettering(pen, design.adjective.upper(), box=(0.52, 0.1, 0.9, 0.2), ink=ink, weight=0.03, tracking=0.1)
    lettering(pen, design.noun.upper(), box=(0.51, 0.23, 0.91, 0.4), ink=inks.on(inks.a).b, weight=0.09, stretch=1.8)
    pen.bar(ink, (0.52, 0.43, 0.9, 0.437))
    lettering(pen, "SAFETY MATCHES", box=(0.52, 0.47, 0.9, 0.53), ink=ink, weight=0.03, tracking=0.06)
    face = worn(canvas.finished(), design.rng)
    striker = (88, 58, 48)
    title = f"{design.phrase} matches"
    return Thing("matchbox", title, face, width, height, 1.4, (striker, (210, 190, 150), striker, (210, 190, 150)))


def cassette(design: Design) -> Thing:
    """A music cassette with its label, window and two hubs."""
    width, height = 10.2, 6.4
    shell: Colour = mix(design.inks.dark, (40, 40, 42), share=0.5)
    canvas = face_canvas(width, height, longest=500, colour=shell)
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    pen.bar(inks.paper, (0.06, 0.05, 0.94, ratio * 0.72), rounding=0.03)
    for index, ink in enumerate((inks.a, inks.b, inks.c)):
        pen.bar(ink, (0.06, 0.2 + 0.07 * index, 0.94, 0.2 + 0.07 * (index + 1)))
    lettering(pen, design.phrase, box=(0.22, 0.08, 0.9, 0.165), ink=inks.dark, weight=0.03, align=0.0, stretch=1.2)
    design.motif(pen.at((0.14, 0.125), 0.06), inks)
    pen.bar(inks.dark, (0.22, 0.215, 0.78, 0.395), rounding=0.08)
    pen.bar((205, 198, 186), (0.4, 0.24, 0.6, 0.37), rounding=0.01)
    pen.disc((70, 48, 36), (0.35, 0.305, 0.1 * float(design.rng.uniform(0.9, 1.2))))
    for x in (0.31, 0.69):
        pen.disc((236, 232, 222), (x, 0.305, 0.062))
        for turn in range(0, 360, 60):
            pen.at((x, 0.305), 0.062, turn=turn).bar(shell, (0.5, -0.1, 0.95, 0.1))
        pen.disc(shell, (x, 0.305, 0.03))
    pen.shape(
        mix(shell, (255, 255, 255), share=0.12),
        [(0.2, ratio), (0.24, ratio * 0.78), (0.76, ratio * 0.78), (0.8, ratio)],
    )
    for x in (0.32, 0.44, 0.56, 0.68):
        pen.disc((20, 20, 20), (x, ratio * 0.9, 0.016))
    canvas.cut(lambda pen: pen.bar((0, 0, 0), (0, 0, 1, ratio), rounding=0.03))
    face = worn(canvas.finished(), design.rng, strength=0.35)
    return Thing("cassette", f"{design.phrase} tape", face, width, height, 1.1, (shell,) * 4, gloss=0.6)


def tile(design: Design) -> Thing:
    """A glazed tile: one quarter of an ornament, four times, around the motif."""
    canvas = face_canvas(15.0, 15.0, longest=460, colour=design.inks.paper)
    pen, inks, rng = canvas.pen(), design.inks, design.rng
    style = design.variant % 3
    ring, petal = float(rng.uniform(0.42, 0.5)), float(rng.uniform(0.1, 0.16))
    for turn in (0.0, 90.0, 180.0, 270.0):
        quarter = pen.at((0.5, 0.5), 1.0, turn=turn)
        if style == 0:
            quarter.disc(inks.c, (-0.5, -0.5, 0.3))
            quarter.disc(inks.paper, (-0.5, -0.5, 0.23))
            quarter.disc(inks.a, (-0.5, -0.5, 0.14))
        elif style == 1:
            quarter.shape(inks.c, [(-0.5, -0.5), (-0.12, -0.5), (-0.5, -0.12)])
            quarter.shape(inks.b, [(-0.5, -0.5), (-0.26, -0.5), (-0.5, -0.26)])
        else:
            quarter.bar(inks.dark, (-0.5, -0.5, -0.26, -0.26))
            quarter.disc(inks.b, (-0.38, -0.38, 0.08))
        for lean in (-1, 1):
            leaf = quarter.at((0.0, -ring), 0.2, turn=28.0 * lean, flip=lean < 0)
            leaf.shape(
                inks.b if style else inks.dark,
                [(0, 0), (0.5, -petal * 2.4), (1.0, 0), (0.5, petal * 2.4)],
                smooth=True,
            )
        quarter.shape(inks.a, [(0, -0.5), (0.07, -0.4), (0, -0.3), (-0.07, -0.4)])
    pen.disc(inks.dark, (0.5, 0.5, 0.3))
    pen.disc(inks.paper, (0.5, 0.5, 0.28))
    design.motif(pen.at((0.5, 0.5), 0.225), inks)
    pen.ring(inks.b, (0.5, 0.5, 0.345), width=0.018)
    face = worn(canvas.finished(), design.rng, strength=0.25)
    edge = (226, 220, 208)
    return Thing("tile", f"tile with {design.noun}", face, 15.0, 15.0, 0.9, (edge,) * 4, gloss=0.9)


def mug(design: Design) -> Thing:
    """The flat print of a mug; it is bent, and rim and handle are added, in `kindred_demo.rounding`."""
    width, height = 8.4, 9.6
    ground = (design.inks.paper, design.inks.c, design.inks.dark)[design.variant % 3]
    canvas = Canvas(560, 420, colour=ground)
    pen, ratio = canvas.pen(), canvas.ratio
    inks = design.inks.on(ground)
    design.motif(pen.at((0.5, ratio * 0.44), 0.235), inks)
    for x in (0.06, 0.94):
        design.motif(pen.at((x, ratio * 0.44), 0.15), inks)
    for index, ink in enumerate((inks.a, inks.b, inks.c) if ground != inks.c else (inks.a, inks.paper, inks.b)):
        pen.bar(ink, (0, ratio * (0.82 + 0.06 * index), 1, ratio * (0.885 + 0.06 * index)))
    face = canvas.finished()
    title = f"{design.phrase} mug"
    return Thing("mug", title, face, width, height, 0.0, (ground,) * 4, form="mug", gloss=0.8)
