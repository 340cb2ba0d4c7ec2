"""Books, record sleeves, posters and framed paintings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from kindred_demo.canvas import Canvas, Pen
from kindred_demo.compositions import COMPOSITIONS
from kindred_demo.lettering import lettering
from kindred_demo.noise import cloudy
from kindred_demo.palettes import Colour, mix
from kindred_demo.things import Design, Thing, face_canvas
from kindred_demo.wear import worn

__all__ = ["book", "painting", "poster", "record", "titled"]

AUTHORS = (
    "M. HARROW",
    "IDA LUND",
    "T. OKAFOR",
    "R. VALDEZ",
    "ELSE BRANDT",
    "J. MARLOWE",
    "N. SATO",
    "C. DUMONT",
)
BANDS = ("TRIO", "QUARTET", "ORCHESTRA", "SESSIONS", "PARADE", "SERENADE", "MACHINE", "BLUES")
EVENTS = ("FESTIVAL", "CIRCUS", "GRAND HOTEL", "FLOWER SHOW", "NIGHT TRAIN", "REGATTA", "CABARET", "MUSEUM")
DATES = ("12-19 JUNE", "TONIGHT", "SUMMER SEASON", "4 OCTOBER", "EVERY SUNDAY", "SINCE 1928", "OPENS IN MAY")
PAGES: Colour = (226, 214, 188)


def titled(canvas: Canvas, design: Design, *, title: str, line: str = "") -> None:
    """Paint the composition of a design, with a title and a smaller line where it leaves room."""
    composition = COMPOSITIONS[design.composition]
    composition.paint(canvas, design.motif, design.inks, design.rng)
    ink = getattr(design.inks, composition.ink)
    top, bottom = (share * canvas.ratio for share in composition.title)
    pen = canvas.pen()
    split = top + (bottom - top) * (0.64 if line else 1.0)
    style = design.variant % 3
    lettering(
        pen,
        title,
        box=(0.12, top, 0.88, split),
        ink=ink,
        weight=(0.05, 0.015, 0.07)[style],
        tracking=(0.04, 0.16, 0.0)[style],
        stretch=1.35,
    )
    if line:
        lettering(
            pen,
            line,
            box=(0.1, split + (bottom - top) * 0.12, 0.9, bottom),
            ink=ink,
            weight=0.02,
            tracking=0.22,
        )


def book(design: Design) -> Thing:
    """A hardback or paperback, with pages on three sides and a crease along the spine."""
    width, height = 14.0, float(design.rng.uniform(19.5, 22.0))
    canvas = face_canvas(width, height)
    titled(canvas, design, title=f"THE {design.phrase}", line=str(design.rng.choice(AUTHORS)))
    pen = canvas.pen()
    pen.bar(design.inks.dark, (0.0, 0.0, 0.035, canvas.ratio), opacity=0.28)
    pen.bar((0, 0, 0), (0.035, 0.0, 0.047, canvas.ratio), opacity=0.35)
    pen.bar((255, 255, 255), (0.05, 0.0, 0.062, canvas.ratio), opacity=0.18)
    face = worn(canvas.finished(), design.rng)
    depth = float(design.rng.uniform(1.6, 3.2))
    return Thing("book", f"the {design.phrase}", face, width, height, depth, (PAGES, PAGES, PAGES, design.inks.dark))


def record(design: Design) -> Thing:
    """A record sleeve with a label strip, and the ring that the record has worn into it."""
    canvas = face_canvas(31.0, 31.0)
    suffix = str(design.rng.choice(BANDS))
    titled(canvas, design, title=f"{design.phrase} {suffix}")
    pen = canvas.pen()
    strip = design.inks.dark if design.composition in ("disc", "rainbow") else design.inks.paper
    for index in range(3):
        pen.disc(strip, (0.93, 0.035 + 0.022 * index, 0.008))
    lettering(pen, "STEREO", box=(0.78, 0.026, 0.91, 0.048), ink=strip, weight=0.04, tracking=0.2, align=1.0)
    for radius in (0.455, 0.46):
        ring = pen.at((0.5, 0.5), 1.0)
        for index in range(60):
            turn = 6.0 * index
            ring.at((0, 0), 1.0, turn=turn).bar((255, 255, 255), (radius, -0.03, radius + 0.004, 0.03), opacity=0.05)
    face = worn(canvas.finished(), design.rng)
    edge = mix(design.inks.paper, (255, 255, 255), share=0.3)
    return Thing("record", f"{design.phrase} {suffix}", face, 31.0, 31.0, 0.5, (edge,) * 4, gloss=0.5)


def poster(design: Design) -> Thing:
    """A poster with an event, a date and a white margin."""
    width, height = 50.0, 70.0
    sheet = face_canvas(width, height, colour=design.inks.paper)
    inner = Canvas(sheet.width - 28, sheet.height - 28 - 46)
    event, date = str(design.rng.choice(EVENTS)), str(design.rng.choice(DATES))
    title = f"{event}\n{design.phrase}" if design.composition == "swarm" else f"{design.noun.upper()} {event}"
    titled(inner, design, title=title)
    margin = 14 / sheet.width
    sheet.inlay(inner, corner=(margin, margin))
    foot = (margin + 0.01, sheet.ratio - 0.125, 1 - margin - 0.01, sheet.ratio - 0.04)
    lettering(sheet.pen(), date, box=foot, ink=design.inks.dark, weight=0.06, stretch=1.8, tracking=0.02)
    face = worn(sheet.finished(), design.rng, strength=0.7)
    return Thing("poster", f"{title} {date}".replace("\n", " "), face, width, height, 0.1, (design.inks.paper,) * 4)


def painting(design: Design) -> Thing:
    """An oil painting in a wooden or gilded frame."""
    wide = design.variant % 2 == 0
    width, height = (60.0, 48.0) if wide else (44.0, 56.0)
    sheet = face_canvas(width, height)
    rail = 44
    canvas = Canvas(sheet.width - 2 * rail, sheet.height - 2 * rail)
    scene = (_still_life, _seascape, _abstract)[design.variant % 3]
    scene(canvas, design)
    picture = _in_oils(canvas.finished().convert("RGB"), design.rng)
    face = _framed(picture, design, size=(sheet.width, sheet.height), rail=rail)
    side = mix(design.inks.dark, (90, 60, 30))
    genre = ("still life", "seascape", "composition")[design.variant % 3]
    return Thing("painting", f"{genre} with {design.noun}", face, width, height, 2.2, (side,) * 4, gloss=0.3)


def _still_life(canvas: Canvas, design: Design) -> None:
    pen, ratio, inks, rng = canvas.pen(), canvas.ratio, design.inks, design.rng
    wall = mix(inks.c, inks.dark, share=0.55)
    pen.bar(wall, (0, 0, 1, ratio))
    _dabs(
        pen,
        (0, 0, 1, ratio * 0.65),
        rng,
        colours=(wall, mix(wall, inks.b, share=0.25), mix(wall, (0, 0, 0), share=0.2)),
    )
    pen.shape(mix(inks.b, inks.paper), [(0, ratio * 0.66), (1, ratio * 0.6), (1, ratio), (0, ratio)])
    _dabs(
        pen,
        (0, ratio * 0.68, 1, ratio),
        rng,
        colours=(mix(inks.b, inks.paper), inks.paper, mix(inks.b, inks.dark, share=0.3)),
    )
    for x, size, turn in ((0.72, 0.2, 9.0), (0.3, 0.27, -6.0)):
        foot = ratio * 0.78
        pen.oval(mix(inks.dark, (0, 0, 0)), (x + 0.08, foot + size * 0.12, size * 1.1, size * 0.22), opacity=0.55)
        design.motif(pen.at((x, foot - size * 0.7), size, turn=turn, flip=turn > 0), inks.on(wall))


def _seascape(canvas: Canvas, design: Design) -> None:
    pen, ratio, inks, rng = canvas.pen(), canvas.ratio, design.inks, design.rng
    horizon = ratio * 0.55
    for band in range(14):
        pen.bar(
            mix(inks.c, inks.paper, share=band / 13),
            (0, horizon * band / 14, 1, horizon * (band + 1) / 14 + 0.01),
        )
    _dabs(
        pen,
        (0, 0, 1, horizon * 0.9),
        rng,
        colours=(inks.paper, mix(inks.c, inks.paper), mix(inks.b, inks.paper)),
    )
    for band in range(10):
        top = horizon + (ratio - horizon) * band / 10
        pen.bar(mix(inks.c, inks.dark, share=0.25 + 0.6 * band / 9), (0, top, 1, ratio))
    _dabs(pen, (0, horizon, 1, ratio), rng, colours=(inks.c, mix(inks.c, inks.dark), mix(inks.paper, inks.c)))
    x = float(rng.uniform(0.35, 0.65))
    design.motif(pen.at((x, horizon * 0.72), 0.27), inks)
    for index in range(9):
        y = horizon + 0.03 + 0.035 * index
        half = float(rng.uniform(0.04, 0.14))
        pen.bar(mix(inks.a, inks.paper, share=0.4), (x - half, y, x + half, y + 0.012), opacity=0.7)


def _abstract(canvas: Canvas, design: Design) -> None:
    pen, ratio, inks, rng = canvas.pen(), canvas.ratio, design.inks, design.rng
    pen.bar(inks.paper, (0, 0, 1, ratio))
    for index in range(11):
        ink = (*inks.accents, inks.dark)[index % 4]
        x, y, size = (
            float(rng.uniform(0.1, 0.9)),
            float(rng.uniform(0.1, 0.9)) * ratio,
            float(rng.uniform(0.06, 0.26)),
        )
        local = pen.at((x, y), size, turn=float(rng.uniform(0, 360)))
        kind = index % 4
        if kind == 0:
            local.disc(ink, (0, 0, 0.8))
        elif kind == 1:
            local.shape(ink, [(-1, 0.6), (1, 0.6), (0, -1)])
        elif kind == 2:
            local.bar(ink, (-1.6, -0.16, 1.6, 0.16))
        else:
            local.ring(ink, (0, 0, 1), width=0.18)
    design.motif(pen.at((0.5, ratio * 0.5), 0.3, turn=float(rng.uniform(-25, 25))), inks)


def _dabs(
    pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator, *, colours: tuple[Colour, ...]
) -> None:
    """Short horizontal brush strokes over a box."""
    for index in range(150):
        x, y = float(rng.uniform(box[0], box[2])), float(rng.uniform(box[1], box[3]))
        length, turn = float(rng.uniform(0.03, 0.09)), float(rng.normal(0, 12))
        stroke = pen.at((x, y), length, turn=turn)
        stroke.shape(colours[index % len(colours)], [(-1, -0.14), (1, -0.2), (1.1, 0.1), (-1, 0.2)], opacity=0.5)


def _in_oils(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Displace edges as brush strokes do, and add ridges of paint that catch the light."""
    width, height = picture.size
    pixels = np.asarray(picture)
    dx, dy = (5.0 * cloudy(rng, (height, width), cells=20, octaves=2) for _ in range(2))
    rows = np.clip(np.arange(height)[:, None] + dy, 0, height - 1).astype(np.intp)
    columns = np.clip(np.arange(width)[None, :] + dx, 0, width - 1).astype(np.intp)
    moved = pixels[rows, columns].astype(np.float32)
    ridges = cloudy(rng, (height, width), cells=46, octaves=2)
    light = np.zeros_like(ridges)
    light[1:, 1:] = ridges[1:, 1:] - ridges[:-1, :-1]
    return Image.fromarray(np.clip(moved * (1 + 0.45 * light[..., None]), 0, 255).astype(np.uint8))


def _framed(picture: Image.Image, design: Design, *, size: tuple[int, int], rail: int) -> Image.Image:
    """Add four mitred rails around a picture, lit from the top left."""
    style: Literal["gilt", "wood", "black"] = ("gilt", "wood", "black")[int(design.rng.integers(3))]
    base: Colour = {"gilt": (190, 150, 74), "wood": (122, 80, 48), "black": (44, 40, 40)}[style]
    width, height = size
    frame = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(frame)
    lights = {"top": 1.22, "left": 1.08, "right": 0.82, "bottom": 0.7}
    for depth in range(rail):
        # A profile of two mouldings: bright where it rises, dark where it falls.
        profile = 1.0 + 0.28 * np.sin(depth / rail * 4 * np.pi) - (0.35 if depth > rail - 5 else 0.0)
        corners = {
            "top": (depth, depth, width - depth, depth),
            "left": (depth, depth, depth, height - depth),
            "right": (width - 1 - depth, depth, width - 1 - depth, height - depth),
            "bottom": (depth, height - 1 - depth, width - depth, height - 1 - depth),
        }
        for edge, line in corners.items():
            red, green, blue = (min(255, round(part * profile * lights[edge])) for part in base)
            draw.line(line, fill=(red, green, blue))
    noise = 1 + 0.06 * cloudy(design.rng, (height, width), cells=30, octaves=2)[..., None]
    frame = Image.fromarray(np.clip(np.asarray(frame) * noise, 0, 255).astype(np.uint8))
    frame.paste(picture, (rail, rail))
    frame.putalpha(255)
    return frame
