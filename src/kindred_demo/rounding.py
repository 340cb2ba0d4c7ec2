"""Round objects from flat labels: tins, mugs and flags, as seen upright by the camera."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from kindred_demo.noise import Field
from kindred_demo.palettes import Colour, mix
from kindred_demo.things import Thing

__all__ = ["upright"]

STRIPS = 36
"""Number of flat strips that approximate a curved surface."""

ROUND = 500
"""Width of a tin or mug in pixels: more than needed, since reduction smooths its outline."""

Quad = tuple[float, float, float, float, float, float, float, float]


def upright(thing: Thing, rng: np.random.Generator) -> tuple[Image.Image, float, float]:
    """Return the picture of a tin, a mug or a flag, RGBA, with its width and height in centimetres.

    Each call rotates the tin or mug a little, or gives the flag other waves.
    """
    if thing.form == "cloth":
        return _flag(thing, rng)
    return (_mug if thing.form == "mug" else _tin)(thing, rng)


def _bend(label: Image.Image, *, size: tuple[int, int], turn: float, bulge: int, span: float = 230.0) -> Image.Image:
    """Wrap a label that covers `span` degrees around an upright cylinder, `size` pixels as seen.

    It is seen from slightly above. The lower edge is `bulge` lower in the middle; the result is that much higher than
    `size`.
    """
    width, height = size
    scaled = label.convert("RGBA").resize((label.width, height), Image.Resampling.BILINEAR)
    edges = np.linspace(0, width, STRIPS + 1).round().astype(int)
    mesh: list[tuple[tuple[int, int, int, int], Quad]] = []
    for x0, x1 in pairwise(edges):
        (u0, drop0), (u1, drop1) = (_unroll(int(x), width=width, turn=turn, bulge=bulge, span=span) for x in (x0, x1))
        u0, u1 = u0 * label.width, u1 * label.width
        bottom = height + bulge
        quad = (u0, -drop0, u0, bottom - drop0, u1, bottom - drop1, u1, -drop1)
        mesh.append(((int(x0), 0, int(x1), bottom), quad))
    return scaled.transform((width, height + bulge), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _unroll(x: int, *, width: int, turn: float, bulge: int, span: float) -> tuple[float, float]:
    """Return where column x of the cylinder is on the label (a fraction of its width), and how far it is lowered."""
    across = max(-0.9999, min(0.9999, 2 * x / width - 1))
    angle = math.degrees(math.asin(across))
    return 0.5 + (angle + turn) / span, bulge * math.sqrt(1 - across**2)


def _lit(picture: Image.Image, levels: Field) -> Image.Image:
    """Multiply an RGBA picture by light levels that broadcast to its (height, width)."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) * levels[..., None]
    lit = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    lit.putalpha(picture.getchannel("A"))
    return lit


def _roundness(width: int, *, gloss: float, side: float) -> Field:
    """Return the light across an upright cylinder, (1, width), with a highlight at `side` (-1 left, 1 right)."""
    across = np.linspace(-1, 1, width, dtype=np.float32)
    body = 0.5 + 0.56 * np.sqrt(np.clip(1 - ((across - 0.35 * side) / 1.32) ** 2, 0, 1))
    shine = gloss * (
        0.5 * np.exp(-(((across - 0.55 * side) / 0.1) ** 2)) + 0.22 * np.exp(-(((across + 0.72 * side) / 0.07) ** 2))
    )
    return np.asarray((body + shine)[None, :], dtype=np.float32)


def _ellipse(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], radii: tuple[float, float], colour: Colour
) -> None:
    (x, y), (rx, ry) = centre, radii
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=(*colour, 255))


def _tin(thing: Thing, rng: np.random.Generator) -> tuple[Image.Image, float, float]:
    width, height = ROUND, round(ROUND * thing.height / thing.width)
    bulge = round(width * 0.085)
    lid = round(height * 0.07)
    side = -1.0 if rng.random() < 0.5 else 1.0
    light = _roundness(width, gloss=thing.gloss, side=side)
    body = _lit(_bend(thing.face, size=(width, height), turn=float(rng.uniform(-26, 26)), bulge=bulge), light)
    full = Image.new("RGBA", (width, height + 2 * bulge + lid))
    metal = Image.new("RGBA", (width, lid + bulge), (196, 194, 188, 255))
    metal = _lit(metal, light)
    foot = full.height - bulge
    # From the bottom up: a metal rim, the label, the side of the lid, its top.
    rim = Image.new("L", full.size, 0)
    ImageDraw.Draw(rim).ellipse((0, foot - bulge, width - 1, full.height - 1), fill=255)
    full.paste(_lit(Image.new("RGBA", full.size, (170, 168, 162, 255)), light * 0.8), mask=rim)
    label_top = bulge + lid
    full.paste(
        body.crop((0, 0, width, height - 4 + bulge)),
        (0, label_top - 4),
        body.crop((0, 0, width, height - 4 + bulge)),
    )
    band = Image.new("L", full.size, 0)
    draw = ImageDraw.Draw(band)
    draw.rectangle((0, bulge, width, label_top), fill=255)
    draw.ellipse((0, label_top - bulge, width - 1, label_top + bulge), fill=255)
    full.paste(_lit(Image.new("RGBA", full.size, (204, 202, 196, 255)), light), mask=band)
    draw = ImageDraw.Draw(full)
    middle = (width / 2, float(bulge))
    _ellipse(draw, middle, (width / 2 - 0.5, bulge), (226, 224, 218))
    _ellipse(draw, middle, (width / 2 - 9, bulge - 4), (158, 156, 150))
    _ellipse(draw, (middle[0], middle[1] + 2), (width / 2 - 13, bulge - 6), (196, 194, 188))
    return full, thing.width, thing.width * full.height / width


def _mug(thing: Thing, rng: np.random.Generator) -> tuple[Image.Image, float, float]:
    width, height = ROUND, round(ROUND * thing.height / thing.width)
    bulge, reach = round(width * 0.085), round(width * 0.3)
    right = rng.random() < 0.6
    light = _roundness(width, gloss=thing.gloss * 0.6, side=-1.0 if right else 1.0)
    body = _lit(_bend(thing.face, size=(width, height), turn=float(rng.uniform(-18, 18)), bulge=bulge), light)
    glaze = thing.sides[0]
    full = Image.new("RGBA", (width + reach, height + 2 * bulge))
    full.alpha_composite(_handle(full.size, bulge=bulge, reach=reach, glaze=glaze))
    full.alpha_composite(body, (0, bulge))
    draw = ImageDraw.Draw(full)
    middle = (width / 2, float(bulge))
    _ellipse(draw, middle, (width / 2 - 0.5, bulge), mix(glaze, (255, 255, 255), share=0.35))
    _ellipse(draw, middle, (width / 2 - 8, bulge - 4), mix(glaze, (30, 26, 24), share=0.45))
    drink: Colour = ((70, 42, 26), (150, 90, 50), (226, 222, 212))[int(rng.integers(3))]
    inside = Image.new("L", full.size, 0)
    ImageDraw.Draw(inside).ellipse((8, 4, width - 9, 2 * bulge - 5), fill=255)
    pool = Image.new("L", full.size, 0)
    ImageDraw.Draw(pool).ellipse((14, 15, width - 15, 2 * bulge + 10), fill=255)
    full.paste((*drink, 255), mask=Image.fromarray(np.minimum(np.asarray(inside), np.asarray(pool))))
    full = full.filter(ImageFilter.GaussianBlur(0.5))
    if not right:
        mirrored = full.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        # Mirroring moves the handle to the left; the print is pasted back unmirrored, to stay readable.
        mirrored.paste(full.crop((0, 0, width, full.height)), (reach, 0), full.crop((0, 0, width, full.height)))
        full = mirrored
    scale = thing.width / width
    return full, full.width * scale, full.height * scale


def _handle(size: tuple[int, int], *, bulge: int, reach: int, glaze: Colour) -> Image.Image:
    """The handle at the right edge: a thick ring, lit from above."""
    width, height = size
    layer = Image.new("RGBA", size, (*glaze, 0))
    draw = ImageDraw.Draw(layer)
    top, foot = height * 0.24, height * 0.78
    left = width - 2 * reach
    for inset, ink in (
        (0, mix(glaze, (0, 0, 0), share=0.35)),
        (4, glaze),
        (9, mix(glaze, (255, 255, 255), share=0.25)),
    ):
        thick = round(reach * 0.36) - (0, 8, 26)[(0, 4, 9).index(inset)]
        draw.ellipse(
            (left + inset, top + inset, width - 2 - inset, foot - inset),
            outline=(*ink, 255),
            width=max(3, thick),
        )
    return layer.filter(ImageFilter.GaussianBlur(0.8)) if bulge else layer


def _flag(thing: Thing, rng: np.random.Generator) -> tuple[Image.Image, float, float]:
    """A flag on its pole, with waves that grow away from the pole."""
    width, height = thing.face.size
    swing = round(height * 0.09)
    waves, phase = float(rng.uniform(1.1, 2.2)), float(rng.uniform(0, 2 * math.pi))
    edges = np.linspace(0, width, STRIPS + 1)
    share = edges / width
    drop = swing * (0.25 + 0.75 * share) * np.sin(2 * math.pi * waves * share + phase) - swing * 0.4 * share
    mesh: list[tuple[tuple[int, int, int, int], Quad]] = []
    for index in range(STRIPS):
        x0, x1 = float(edges[index]), float(edges[index + 1])
        up0, up1 = float(drop[index]) + swing, float(drop[index + 1]) + swing
        bottom = height + 2 * swing
        quad = (x0, -up0, x0, bottom - up0, x1, bottom - up1, x1, -up1)
        mesh.append(((round(x0), 0, round(x1), bottom), quad))
    cloth = thing.face.transform((width, height + 2 * swing), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    across = np.linspace(0, 1, width, dtype=np.float32)
    slope = np.cos(2 * math.pi * waves * across + phase) * (0.25 + 0.75 * across)
    cloth = _lit(cloth, (1.0 - 0.3 * slope)[None, :].astype(np.float32))
    pole, tail = 14, round(height * 0.4)
    full = Image.new("RGBA", (width + pole, height + 2 * swing + tail))
    stick = np.linspace(-1, 1, pole, dtype=np.float32)
    wood = Image.new("RGBA", (pole, full.height - swing // 2), (178, 146, 104, 255))
    full.paste(_lit(wood, (1.05 - 0.5 * (stick - 0.3) ** 2)[None, :]), (0, swing // 2))
    full.alpha_composite(cloth, (pole - 4, 0))
    scale = thing.width / width
    return full, full.width * scale, full.height * scale
