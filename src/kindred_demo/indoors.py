"""Indoor surfaces as square RGB textures: wood, cloth, plaster, paper, stone worktops."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from kindred_demo.canvas import Canvas
from kindred_demo.motifs import MOTIFS
from kindred_demo.noise import Field, cloudy, field, grain
from kindred_demo.palettes import PALETTES, Colour, Palette, mix

__all__ = ["INDOORS", "SIDE", "tinted"]

SIDE = 1000
"""Pixels along each side of a texture."""


def tinted(levels: Field, *, dark: Colour, light: Colour) -> Image.Image:
    """Map a field to colours between `dark` (0) and `light` (1), extrapolated beyond."""
    # By a table of 256 levels from -0.5 to 1.5, which is many times faster than three float channels.
    steps = Image.fromarray(np.clip((levels + 0.5) * 127.5, 0, 255).astype(np.uint8))
    way = np.linspace(-0.5, 1.5, 256)
    bands = (
        np.clip(low + (high - low) * way, 0, 255).astype(int).tolist() for low, high in zip(dark, light, strict=True)
    )
    return Image.merge("RGB", [steps.point(band) for band in bands])


def planks(rng: np.random.Generator, *, dark: Colour, light: Colour, count: int = 5, gloss: float = 1.0) -> Image.Image:
    """Boards side by side, with annual rings, fibres, a tone of their own each, and dark gaps."""
    size = (SIDE, SIDE)
    height = SIDE // count
    warp = field(rng, size, cells=(count * 3, 4)) + 0.4 * field(rng, size, cells=(count * 8, 7))
    rows = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE
    board = np.minimum(np.arange(SIDE) // height, count - 1)
    offsets = rng.uniform(0, 10, count).astype(np.float32)[board][:, None]
    tones = rng.uniform(-0.16, 0.16, count).astype(np.float32)[board][:, None]
    rings = np.sin((rows * count * 5 + offsets + 0.9 * warp) * 2 * np.pi)
    fibres = field(rng, size, cells=(SIDE // 2, 14)) + 0.5 * field(rng, size, cells=(SIDE // 3, 40))
    levels = 0.55 + tones + gloss * (0.13 * rings + 0.11 * fibres + 0.06 * warp)
    into = (np.arange(SIDE) % height)[:, None]
    gap = np.minimum(into, height - into).astype(np.float32)
    return tinted((levels - 0.75 * np.exp(-gap / 1.6)).astype(np.float32), dark=dark, light=light)


def oak(rng: np.random.Generator) -> Image.Image:
    """A pale oak table."""
    return planks(rng, dark=(120, 82, 48), light=(222, 182, 132))


def walnut(rng: np.random.Generator) -> Image.Image:
    """A dark desk."""
    return planks(rng, dark=(42, 26, 18), light=(142, 94, 62), count=4)


def plywood(rng: np.random.Generator) -> Image.Image:
    """A sheet of birch plywood."""
    return planks(rng, dark=(176, 140, 98), light=(236, 210, 166), count=1, gloss=0.8)


def boards(rng: np.random.Generator) -> Image.Image:
    """Painted boards with worn paint."""
    wood = np.asarray(planks(rng, dark=(96, 74, 56), light=(184, 150, 112), count=6), dtype=np.float32)
    paints = ((142, 176, 176), (196, 204, 190), (120, 146, 172), (206, 178, 150))
    paint = np.asarray(paints[int(rng.integers(len(paints)))], dtype=np.float32)
    worn = cloudy(rng, (SIDE, SIDE), cells=5) + 0.35 * field(rng, (SIDE, SIDE), cells=(SIDE // 3, 20))
    cover = np.clip((worn + 0.42) * 5, 0, 0.92)[..., None]
    mixed = wood * (1 - cover) + (paint * 0.72 + wood * 0.3) * cover
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _weave(rng: np.random.Generator, *, threads: int) -> Field:
    """The light and shade of a plain weave, about [-1, 1]."""
    axis = np.arange(SIDE, dtype=np.float32) / SIDE * threads * np.pi
    wobble = 0.6 * field(rng, (SIDE, SIDE), cells=(30, 30))
    across = np.sin(axis[None, :] + wobble)
    down = np.sin(axis[:, None] + wobble)
    uneven = field(rng, (SIDE, SIDE), cells=(threads, 12)) + field(rng, (SIDE, SIDE), cells=(12, threads))
    return (0.5 * across * down + 0.35 * uneven).astype(np.float32)


def linen(rng: np.random.Generator) -> Image.Image:
    """A natural linen cloth with soft folds."""
    folds = np.float32(0.16) * cloudy(rng, (SIDE, SIDE), cells=2, octaves=2)
    levels = np.float32(0.62) + np.float32(0.13) * _weave(rng, threads=210) + folds
    return tinted(levels, dark=(112, 100, 84), light=(240, 230, 210))


def gingham(rng: np.random.Generator) -> Image.Image:
    """A checked tablecloth."""
    inks: tuple[Colour, ...] = ((176, 40, 44), (44, 84, 138), (62, 120, 84), (206, 150, 40))
    ink = np.asarray(inks[int(rng.integers(len(inks)))], dtype=np.float32)
    stripe = (np.arange(SIDE) // 42 % 2).astype(np.float32)
    share = 0.5 * (stripe[:, None] + stripe[None, :])
    cloth = np.array([244, 240, 230], dtype=np.float32)
    pixels = cloth + (ink - cloth) * share[..., None]
    shade = 1 + 0.07 * _weave(rng, threads=240) + 0.12 * cloudy(rng, (SIDE, SIDE), cells=2, octaves=2)
    return Image.fromarray(np.clip(pixels * shade[..., None], 0, 255).astype(np.uint8))


def burlap(rng: np.random.Generator) -> Image.Image:
    """Coarse burlap."""
    return tinted(0.5 + 0.42 * _weave(rng, threads=150), dark=(94, 66, 38), light=(206, 168, 116))


def felt(rng: np.random.Generator) -> Image.Image:
    """Plain felt in a deep colour."""
    dark, light = (
        ((24, 62, 52), (64, 120, 100)),
        ((84, 22, 30), (158, 62, 64)),
        ((34, 40, 72), (84, 94, 140)),
        ((120, 84, 20), (204, 164, 82)),
    )[int(rng.integers(4))]
    fluff = 0.12 * grain(rng, (SIDE, SIDE)) + 0.2 * cloudy(rng, (SIDE, SIDE), cells=60, octaves=2)
    return tinted((0.5 + fluff).astype(np.float32), dark=dark, light=light)


def marble(rng: np.random.Generator) -> Image.Image:
    """A worktop of white marble with grey veins."""
    size = (SIDE, SIDE)
    warp = cloudy(rng, size, cells=3, octaves=5)
    slope = np.arange(SIDE, dtype=np.float32)
    phase = (slope[:, None] * 0.6 + slope[None, :]) / SIDE * 5
    veins = np.exp(-np.abs(np.sin((phase + 2.4 * warp) * np.pi)) * 14) + 0.6 * np.exp(
        -np.abs(cloudy(rng, size, cells=4)) * 26
    )
    cloud = 0.1 * cloudy(rng, size, cells=4)
    return tinted((0.9 + cloud - 0.42 * veins).astype(np.float32), dark=(96, 98, 104), light=(246, 244, 240))


def terrazzo(rng: np.random.Generator) -> Image.Image:
    """Chips of coloured stone in pale cement."""
    image = tinted(
        0.8 + 0.1 * cloudy(rng, (SIDE, SIDE), cells=30, octaves=2),
        dark=(150, 144, 136),
        light=(240, 234, 224),
    )
    draw = ImageDraw.Draw(image)
    chips = ((196, 120, 92), (90, 112, 118), (216, 180, 110), (70, 66, 66), (168, 172, 160), (226, 206, 190))
    for _ in range(850):
        x, y = rng.uniform(0, SIDE, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
        radii = rng.uniform(0.5, 1.0, 6) * rng.uniform(3, 17)
        corners = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
        draw.polygon(corners.ravel().tolist(), fill=chips[int(rng.integers(len(chips)))])
    return image


def plaster(rng: np.random.Generator) -> Image.Image:
    """A painted wall."""
    base = (
        (214, 206, 190), (172, 188, 176), (204, 170, 146), (150, 166, 184), (222, 200, 150), (126, 134, 128),
    )[int(rng.integers(6))]  # fmt: skip
    dark: Colour = (base[0] - 46, base[1] - 46, base[2] - 46)
    light: Colour = (base[0] + 26, base[1] + 26, base[2] + 26)
    levels = 0.62 + 0.2 * cloudy(rng, (SIDE, SIDE), cells=4, octaves=6) + 0.05 * grain(rng, (SIDE, SIDE))
    return tinted(levels, dark=dark, light=light)


def wallpaper(rng: np.random.Generator) -> Image.Image:
    """A papered wall: stripes with sprigs between them."""
    inks = PALETTES[int(rng.integers(len(PALETTES)))]
    ground = mix(inks.paper, inks.c, share=0.35)
    repeat = Canvas(SIDE // 8, SIDE // 5, colour=ground)
    pen = repeat.pen()
    pen.bar(mix(ground, inks.paper, share=0.5), (0, 0, 0.1, repeat.ratio))
    pen.bar(mix(ground, inks.dark, share=0.15), (0.1, 0, 0.115, repeat.ratio))
    pale = mix(ground, inks.dark, share=0.22)
    sprig = MOTIFS[("fern", "tulip", "daisy", "bird")[int(rng.integers(4))]]
    for x, y in ((0.36, 0.25), (0.78, 0.75)):
        sprig(pen.at((x, repeat.ratio * y), 0.17), Palette(ground, pale, pale, mix(pale, ground), pale))
    tile = repeat.finished().convert("RGB")
    image = Image.new("RGB", (SIDE, SIDE))
    for row in range(5):
        for column in range(8):
            image.paste(tile, (column * tile.width, row * tile.height))
    shade = 1 + 0.05 * cloudy(rng, (SIDE, SIDE), cells=3) + 0.015 * grain(rng, (SIDE, SIDE))
    return Image.fromarray(np.clip(np.asarray(image) * shade[..., None], 0, 255).astype(np.uint8))


def tiles(rng: np.random.Generator) -> Image.Image:
    """A kitchen wall of glazed tiles."""
    base = ((226, 230, 226), (170, 204, 200), (236, 222, 196), (120, 150, 164))[int(rng.integers(4))]
    columns, rows = 9, 14
    tone = rng.uniform(0.86, 1.04, (rows, columns)).astype(np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    row = np.minimum((y / SIDE * rows).astype(np.intp), rows - 1)
    across = (x / SIDE * columns + 0.5 * (row % 2)) % columns
    u, v = across % 1, (y / SIDE * rows) % 1
    seam = np.minimum(np.minimum(u, 1 - u) / rows * columns * 1.3, np.minimum(v, 1 - v))
    shade = tone[row, across.astype(np.intp)] * (1 + 0.05 * (0.5 - v)) + 0.08 * np.exp(-(((v - 0.12) / 0.05) ** 2))
    pixels = np.asarray(base, dtype=np.float32) * shade[..., None]
    joint = np.clip((seam - 0.025) * 60, 0, 1)[..., None]
    grout = np.array([186, 180, 170], dtype=np.float32) * (1 + 0.04 * grain(rng, (SIDE, SIDE)))[..., None]
    return Image.fromarray(np.clip(grout * (1 - joint) + pixels * joint, 0, 255).astype(np.uint8))


INDOORS = {
    "oak": oak,
    "walnut": walnut,
    "plywood": plywood,
    "boards": boards,
    "linen": linen,
    "gingham": gingham,
    "burlap": burlap,
    "felt": felt,
    "marble": marble,
    "terrazzo": terrazzo,
    "plaster": plaster,
    "wallpaper": wallpaper,
    "tiles": tiles,
}
