"""Stamps, playing cards, coasters, flags and road signs."""

from __future__ import annotations

import math

from kindred_demo.canvas import Canvas, Pen, Point, arc
from kindred_demo.compositions import COMPOSITIONS
from kindred_demo.lettering import arched, lettering
from kindred_demo.palettes import Colour, Palette, mix
from kindred_demo.things import Design, Thing, face_canvas
from kindred_demo.wear import worn

__all__ = ["card", "coaster", "flag", "sign", "stamp"]

LANDS = ("NORDIA", "ISLA VERDE", "MERIDIA", "OSTMARK", "SAN TELMO", "ALTAVIA", "KESTREL IS.", "LUMERA")
TOWNS = ("HARBOUR", "OLD MILL", "MARKET", "STATION", "LAKESIDE", "MUSEUM", "GARDENS", "VIEWPOINT")
INNS = ("BREWERY", "TAVERN", "CAFE", "CIDER", "TEA ROOM", "SODA")


def stamp(design: Design) -> Thing:
    """A postage stamp with perforated edges, a country and a value."""
    upright = design.variant % 2 == 0
    width, height = (3.0, 4.0) if upright else (4.0, 3.0)
    sheet = face_canvas(width, height, longest=480, colour=(244, 240, 228))
    margin = 34
    inner = Canvas(sheet.width - 2 * margin, sheet.height - 2 * margin)
    COMPOSITIONS[design.composition].paint(inner, design.motif, design.inks, design.rng)
    pen, ratio, inks = inner.pen(), inner.ratio, design.inks
    composition = COMPOSITIONS[design.composition]
    top, bottom = (share * ratio for share in composition.title)
    land, value = str(design.rng.choice(LANDS)), str(design.rng.choice(["5", "10", "25", "40", "75", "1.20"]))
    lettering(pen, land, box=(0.13, top, 0.6, bottom), ink=getattr(inks, composition.ink), weight=0.05, align=0.0)
    lettering(pen, value, box=(0.64, top, 0.87, bottom), ink=getattr(inks, composition.ink), weight=0.08, align=1.0)
    sheet.inlay(inner, corner=(margin / sheet.width, margin / sheet.width))
    sheet.cut(lambda pen: pen.shape((0, 0, 0), _perforated(sheet.ratio)))
    face = worn(sheet.finished(), design.rng, strength=0.6)
    return Thing("stamp", f"{land} {design.noun} {value}", face, width, height, 0.02, ((244, 240, 228),) * 4)


def _perforated(ratio: float) -> list[Point]:
    """Return the outline of a stamp: a rectangle with half-round holes along its edges."""
    pitch = 1.0 / (14 if ratio > 1 else 18)
    radius = pitch * 0.3
    outline: list[Point] = []
    corners: list[tuple[Point, float, float]] = [
        ((0, 0), 0, 1.0),
        ((1, 0), 90, ratio),
        ((1, ratio), 180, 1.0),
        ((0, ratio), 270, ratio),
    ]
    for (x, y), heading, length in corners:
        count = round(length / pitch)
        along = (math.cos(math.radians(heading)), math.sin(math.radians(heading)))
        for index in range(count):
            t = (index + 0.5) * length / count
            hole = (x + along[0] * t, y + along[1] * t, radius, radius)
            outline.extend(arc(hole, start=heading + 180, stop=heading))
    return outline


def _pip(pen: Pen, suit: int, colour: Colour) -> None:
    """Draw a heart, diamond, spade or club, in the square from -1 to 1."""
    if suit == 1:
        pen.shape(colour, [(0, -1), (0.72, 0), (0, 1), (-0.72, 0)])
        return
    if suit == 0:
        for side in (-1, 1):
            pen.disc(colour, (0.42 * side, -0.35, 0.47))
        pen.shape(colour, [(-0.86, -0.2), (0.86, -0.2), (0, 0.95)])
        return
    pen.shape(colour, [(0, 0.1), (0.35, 0.98), (-0.35, 0.98)])
    if suit == 2:
        for side in (-1, 1):
            pen.disc(colour, (0.42 * side, 0.25, 0.45))
        pen.shape(colour, [(-0.85, 0.12), (0.85, 0.12), (0, -0.98)])
        return
    for x, y in ((0, -0.5), (-0.5, 0.22), (0.5, 0.22)):
        pen.disc(colour, (x, y, 0.44))


def card(design: Design) -> Thing:
    """A playing card: a court card with one motif, upright and upside down, or a patterned back."""
    width, height = 6.3, 8.8
    canvas = face_canvas(width, height, longest=500, colour=(248, 245, 236))
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    frame = (0.2, 0.12, 0.8, ratio - 0.12) if design.variant % 2 == 0 else (0.07, 0.07, 0.93, ratio - 0.07)
    inner = Canvas(round((frame[2] - frame[0]) * canvas.width), round((frame[3] - frame[1]) * canvas.width))
    if design.variant % 2 == 0:
        _court(inner, design)
    else:
        _card_back(inner, design)
    pen.bar(inks.dark, (frame[0] - 0.012, frame[1] - 0.012, frame[2] + 0.012, frame[3] + 0.012), rounding=0.02)
    canvas.inlay(inner, corner=(frame[0], frame[1]))
    title = f"{design.noun} back"
    if design.variant % 2 == 0:
        rank, suit = str(design.rng.choice(["A", "K", "Q", "J", "9", "7"])), int(design.rng.integers(4))
        colour = (inks.a, inks.a, inks.dark, inks.dark)[suit]
        title = f"{design.noun} {('hearts', 'diamonds', 'spades', 'clubs')[suit]} {rank}"
        for turn in (0.0, 180.0):
            corner = pen.at((0.5, ratio / 2), 1.0, turn=turn)
            _pip(corner.at((-0.4, -ratio / 2 + 0.25), 0.05), suit, colour)
        for box, turned in (
            ((0.05, 0.06, 0.15, 0.18), False),
            ((0.85, ratio - 0.18, 0.95, ratio - 0.06), True),
        ):
            _rank(pen, rank, box=box, ink=colour, upside_down=turned)
    canvas.cut(lambda pen: pen.bar((0, 0, 0), (0, 0, 1, ratio), rounding=0.06))
    face = worn(canvas.finished(), design.rng, strength=0.5)
    return Thing("card", title, face, width, height, 0.03, ((248, 245, 236),) * 4, gloss=0.3)


def _rank(pen: Pen, rank: str, *, box: tuple[float, float, float, float], ink: Colour, upside_down: bool) -> None:
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    if upside_down:
        # Straight lettering cannot be upside down, but a single letter on an arc can.
        arched(pen, rank, circle=(centre[0], centre[1] - 5.0, 5.0), height=0.1, ink=ink, middle=90.0, weight=0.06)
    else:
        lettering(pen, rank, box=box, ink=ink, weight=0.06)


def _court(canvas: Canvas, design: Design) -> None:
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    pen.bar(mix(inks.paper, inks.b, share=0.3), (0, 0, 1, ratio))
    for turn in (0.0, 180.0):
        half = pen.at((0.5, ratio / 2), 1.0, turn=turn)
        half.shape(inks.c, [(-0.5, 0), (-0.5, -0.16), (0.5, 0.16), (0.5, 0)])
        design.motif(half.at((0.0, -ratio * 0.26), 0.36), inks.on(inks.c))
        for index in range(7):
            bead = half.at((-0.42 + 0.14 * index, -0.062 + 0.045 * index), 0.035)
            bead.shape(inks.a if index % 2 else inks.paper, [(-1, 0), (0, -1), (1, 0), (0, 1)])
    pen.stroke(inks.dark, [(0, ratio / 2 - 0.16), (1, ratio / 2 + 0.16)], width=0.02)


def _card_back(canvas: Canvas, design: Design) -> None:
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    pen.bar(inks.a, (0, 0, 1, ratio))
    step = 1.0 / 9
    for row in range(math.ceil(ratio / step) + 1):
        for column in range(10):
            tile = pen.at((column * step, row * step), step * 0.5)
            tile.shape(inks.paper if (row + column) % 2 else inks.b, [(-0.8, 0), (0, -0.8), (0.8, 0), (0, 0.8)])
            tile.disc(inks.a, (0, 0, 0.28))
    pen.disc(inks.dark, (0.5, ratio / 2, 0.36))
    pen.disc(inks.paper, (0.5, ratio / 2, 0.335))
    for turn in (0.0, 180.0):
        half = pen.at((0.5, ratio / 2), 1.0, turn=turn)
        design.motif(half.at((0.0, -0.15), 0.145), inks)


def coaster(design: Design) -> Thing:
    """A round beer mat with lettering along its rim."""
    canvas = face_canvas(9.5, 9.5, longest=440, colour=design.inks.paper)
    pen, inks = canvas.pen(), design.inks
    pen.disc(inks.a, (0.5, 0.5, 0.48))
    pen.ring(inks.paper, (0.5, 0.5, 0.455), width=0.012)
    pen.disc(inks.dark, (0.5, 0.5, 0.31))
    pen.disc(inks.paper, (0.5, 0.5, 0.295))
    design.motif(pen.at((0.5, 0.5), 0.24), inks)
    place = str(design.rng.choice(INNS))
    arched(pen, design.phrase, circle=(0.5, 0.5, 0.375), height=0.075, ink=inks.on(inks.a).paper, weight=0.06)
    arched(pen, place, circle=(0.5, 0.5, 0.378), height=0.07, ink=inks.dark, middle=90, weight=0.05, inward=True)
    for x in (0.115, 0.885):
        pen.star(inks.b, (x, 0.5, 0.04))
    canvas.cut(lambda pen: pen.disc((0, 0, 0), (0.5, 0.5, 0.495)))
    face = worn(canvas.finished(), design.rng, strength=0.8)
    return Thing("coaster", f"{design.phrase} {place}", face, 9.5, 9.5, 0.15, ((214, 196, 164),) * 4)


def flag(design: Design) -> Thing:
    """A cloth flag with one of five divisions and the motif."""
    width, height = 60.0, 40.0
    canvas = face_canvas(width, height, longest=500, colour=design.inks.paper)
    pen, ratio, inks = canvas.pen(), canvas.ratio, design.inks
    division = design.variant % 5
    centre, size, ground = (0.5, ratio / 2), 0.22, inks.paper
    if division == 0:
        for index, ink in enumerate((inks.a, inks.paper, inks.c)):
            pen.bar(ink, (index / 3, 0, (index + 1) / 3, ratio))
        size = 0.145
    elif division == 1:
        pen.bar(inks.c, (0, 0, 1, ratio))
        for width_, ink in ((0.17, inks.paper), (0.09, inks.a)):
            pen.bar(ink, (0.36 - width_ / 2, 0, 0.36 + width_ / 2, ratio))
            pen.bar(ink, (0, ratio / 2 - width_ / 2, 1, ratio / 2 + width_ / 2))
        centre, size, ground = (0.71, ratio * 0.23), 0.12, inks.c
    elif division == 2:
        for index in range(9):
            pen.bar(
                inks.b if index % 2 else inks.paper,
                (0, ratio * index / 9, 1, ratio * (index + 1) / 9 + 0.003),
            )
        pen.bar(inks.dark, (0, 0, 0.45, ratio * 5 / 9))
        centre, size, ground = (0.225, ratio * 0.28), 0.15, inks.dark
    elif division == 3:
        pen.bar(inks.b, (0, 0, 1, ratio / 2))
        pen.bar(inks.dark, (0, ratio / 2, 1, ratio))
        pen.shape(inks.paper, [(0, 0), (0.55, ratio / 2), (0, ratio)])
        centre, size = (0.19, ratio / 2), 0.15
    else:
        pen.bar(inks.a, (0, 0, 1, ratio))
        pen.disc(inks.paper, (0.45, ratio / 2, 0.25))
        centre, size = (0.45, ratio / 2), 0.21
    design.motif(pen.at(centre, size), inks.on(ground))
    return Thing(
        "flag",
        f"flag with {design.noun}",
        canvas.finished(),
        width,
        height,
        0.1,
        (inks.paper,) * 4,
        form="cloth",
    )


def sign(design: Design) -> Thing:
    """A road sign on its post: warning triangle, blue disc, yellow diamond, or a board with an arrow."""
    width, height = 60.0, 84.0
    canvas = face_canvas(width, height)
    pen = canvas.pen()
    pen.bar((120, 124, 126), (0.47, 0.5, 0.53, canvas.ratio))
    pen.bar((168, 172, 173), (0.48, 0.5, 0.495, canvas.ratio))
    black, white = (28, 28, 30), (245, 245, 240)
    kind = design.variant % 4
    flat = Palette(white, black, black, black, black)
    if kind == 0:
        for grow, ink in ((1.0, (190, 194, 194)), (0.97, (196, 30, 42)), (0.68, white)):
            corners = [(0.0, -0.54 * grow), (0.5 * grow, 0.32 * grow), (-0.5 * grow, 0.32 * grow)]
            _rounded(pen.at((0.5, 0.56), 1.0), ink, corners, radius=0.05 * grow)
        design.motif(pen.at((0.5, 0.61), 0.19), flat)
    elif kind == 1:
        for radius, ink in ((0.48, (200, 204, 204)), (0.465, white), (0.44, (16, 86, 158))):
            pen.disc(ink, (0.5, 0.5, radius))
        design.motif(pen.at((0.5, 0.5), 0.32), Palette((16, 86, 158), white, white, white, white))
    elif kind == 2:
        for grow, ink in ((0.5, (190, 194, 194)), (0.485, black), (0.455, (250, 196, 22))):
            _rounded(pen.at((0.5, 0.5), 1.0), ink, [(0, -grow), (grow, 0), (0, grow), (-grow, 0)], radius=0.04)
        design.motif(pen.at((0.5, 0.5), 0.26), Palette((250, 196, 22), black, black, black, black))
    else:
        ground = ((92, 58, 32), (18, 104, 66), (16, 86, 158))[int(design.rng.integers(3))]
        for inset, ink in ((0.0, white), (0.02, ground)):
            pen.bar(ink, (inset, 0.08 + inset, 1 - inset, 0.86 - inset), rounding=0.06)
        design.motif(pen.at((0.27, 0.34), 0.19), Palette(ground, white, white, white, white))
        town = str(design.rng.choice(TOWNS))
        lettering(pen, town, box=(0.08, 0.63, 0.92, 0.77), ink=white, weight=0.05, stretch=1.3)
        pen.bar(white, (0.54, 0.31, 0.8, 0.38))
        pen.shape(white, [(0.76, 0.22), (0.92, 0.345), (0.76, 0.47)])
    face = worn(canvas.finished(), design.rng, strength=0.5)
    name = ("warning", "mandatory", "caution", "signpost")[kind]
    return Thing(
        "sign",
        f"{name} {design.noun}",
        face,
        width,
        height,
        0.3,
        ((150, 152, 152),) * 4,
        form="sign",
        gloss=0.4,
    )


def _rounded(pen: Pen, colour: Colour, corners: list[Point], *, radius: float) -> None:
    """Draw a polygon with round corners: its inset outline drawn with a thick pen."""
    centre = (sum(x for x, _ in corners) / len(corners), sum(y for _, y in corners) / len(corners))
    inset = []
    for x, y in corners:
        length = math.hypot(x - centre[0], y - centre[1])
        share = 1 - radius * 1.6 / length
        inset.append((centre[0] + (x - centre[0]) * share, centre[1] + (y - centre[1]) * share))
    pen.shape(colour, inset)
    pen.stroke(colour, [*inset, inset[0]], width=2 * radius)
