"""Outdoor surfaces as square RGB textures: grass, gravel, sand, stone, brick, leaves and sky."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from kindred_demo.indoors import SIDE, tinted
from kindred_demo.noise import cloudy, field, grain
from kindred_demo.palettes import Colour, mix

__all__ = ["OUTDOORS"]


def grass(rng: np.random.Generator) -> Image.Image:
    """A lawn: thousands of blades over dark soil."""
    image = tinted(0.5 + 0.4 * cloudy(rng, (SIDE, SIDE), cells=20), dark=(26, 40, 16), light=(62, 84, 34))
    draw = ImageDraw.Draw(image)
    count = 9000
    feet = rng.uniform(-20, SIDE + 20, (count, 2))
    lean, length = rng.normal(0, 0.5, count), rng.uniform(22, 60, count)
    shade, warm = rng.random(count), rng.random(count)
    for index in range(count):
        x, y = feet[index]
        tip = (
            x + length[index] * math.sin(lean[index] * 1.6),
            y - length[index] * math.cos(lean[index] * 1.6),
        )
        green = mix((44, 74, 24), (154, 188, 84), share=float(shade[index]) * (0.35 + 0.65 * index / count))
        colour = mix(green, (206, 192, 110), share=0.55) if warm[index] > 0.93 else green
        bend = ((x + tip[0]) / 2 + 4 * lean[index], (y + tip[1]) / 2)
        draw.line([(x, y), bend, tip], fill=colour, width=3 if index % 3 else 2)
    return image


def _stones(
    rng: np.random.Generator,
    *,
    image: Image.Image,
    count: int,
    radius: tuple[float, float],
    colours: tuple[Colour, ...],
) -> None:
    """Rounded stones, each with a shadow below it and light on its upper left."""
    draw = ImageDraw.Draw(image)
    angles = np.linspace(0, 2 * np.pi, 11)[:-1]
    for _ in range(count):
        x, y = rng.uniform(0, SIDE, 2)
        size = float(rng.uniform(*radius))
        radii = size * rng.uniform(0.75, 1.1, 10)
        outline = np.stack([radii * np.cos(angles), 0.85 * radii * np.sin(angles)], axis=1)
        base = mix(colours[int(rng.integers(len(colours)))], (90, 86, 80), share=float(rng.uniform(0, 0.5)))
        for shift, scale, ink in (
            (0.28, 1.06, mix(base, (18, 16, 14), share=0.75)),
            (0.0, 1.0, mix(base, (0, 0, 0), share=0.18)),
            (-0.12, 0.8, base),
            (-0.24, 0.5, mix(base, (255, 255, 250), share=0.18)),
        ):
            draw.polygon((outline * scale + (x + shift * size, y + shift * size)).ravel().tolist(), fill=ink)


def gravel(rng: np.random.Generator) -> Image.Image:
    """A path of small stones."""
    image = tinted(0.5 + 0.3 * cloudy(rng, (SIDE, SIDE), cells=60), dark=(40, 36, 32), light=(120, 112, 100))
    colours = ((176, 168, 152), (206, 196, 180), (140, 132, 124), (186, 156, 128), (116, 118, 122))
    _stones(rng, image=image, count=3200, radius=(6, 17), colours=colours)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def sand(rng: np.random.Generator) -> Image.Image:
    """A beach with ripples."""
    warp = cloudy(rng, (SIDE, SIDE), cells=3)
    rows = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE
    ripples = np.sin((rows * 14 + 2.2 * warp) * 2 * np.pi)
    levels = (
        0.62 + 0.1 * ripples + 0.09 * grain(rng, (SIDE, SIDE)) + 0.1 * cloudy(rng, (SIDE, SIDE), cells=50, octaves=2)
    )
    return tinted(levels.astype(np.float32), dark=(140, 106, 72), light=(244, 220, 178))


def concrete(rng: np.random.Generator) -> Image.Image:
    """Smoothed concrete with pores and stains."""
    levels = 0.6 + 0.2 * cloudy(rng, (SIDE, SIDE), cells=4, octaves=6) + 0.05 * grain(rng, (SIDE, SIDE))
    image = tinted(levels, dark=(84, 84, 84), light=(190, 188, 182))
    draw = ImageDraw.Draw(image)
    for _ in range(340):
        x, y = rng.uniform(0, SIDE, 2)
        size = float(rng.exponential(1.4)) + 0.8
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(84, 82, 80))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def paving(rng: np.random.Generator) -> Image.Image:
    """Slabs of sandstone with moss in the joints."""
    size = (SIDE, SIDE)
    columns = 4
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE * columns
    wobble = 0.03 * cloudy(rng, size, cells=24)
    row = np.clip(np.floor(y + wobble), 0, columns - 1).astype(np.intp)
    across = (x + wobble + 0.45 * (row % 2)) % columns
    tone = rng.uniform(-0.2, 0.2, (columns, columns)).astype(np.float32)[row, across.astype(np.intp)]
    u, v = across % 1, (y + wobble) % 1
    joint = np.clip((np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) - 0.02) * 40, 0, 1)[..., None]
    texture = 0.55 + tone + 0.22 * cloudy(rng, size, cells=10, octaves=5) + 0.04 * grain(rng, size)
    stone = np.asarray(tinted(texture.astype(np.float32), dark=(110, 94, 78), light=(222, 204, 176)), dtype=np.float32)
    moss = np.asarray(
        tinted(0.5 + 0.8 * cloudy(rng, size, cells=50, octaves=2), dark=(34, 40, 22), light=(96, 108, 56))
    )
    return Image.fromarray((moss * (1 - joint) + stone * joint).astype(np.uint8))


def brick(rng: np.random.Generator) -> Image.Image:
    """A brick wall in running bond."""
    size = (SIDE, SIDE)
    columns, rows = 5, 15
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    wobble = 0.05 * cloudy(rng, size, cells=30)
    down = y * rows + wobble
    row = np.clip(np.floor(down), 0, rows - 1).astype(np.intp)
    across = (x * columns + 0.02 * wobble + 0.5 * (row % 2)) % columns
    tone = rng.uniform(-0.25, 0.25, (rows, columns)).astype(np.float32)[row, across.astype(np.intp)]
    u, v = across % 1, down % 1
    seam = np.minimum(np.minimum(u, 1 - u) * rows / columns, np.minimum(v, 1 - v))
    joint = np.clip((seam - 0.06) * 22, 0, 1)
    rough = 0.3 * cloudy(rng, size, cells=18, octaves=5) + 0.06 * grain(rng, size) + 0.12 * (0.5 - v)
    pale = rng.random() < 0.4
    dark, light = ((150, 140, 128), (232, 224, 210)) if pale else ((86, 34, 26), (192, 104, 76))
    wall = np.asarray(tinted((0.5 + tone + rough).astype(np.float32), dark=dark, light=light), dtype=np.float32)
    levels = 0.5 + 0.25 * cloudy(rng, size, cells=40, octaves=3)
    mortar = np.asarray(tinted(levels, dark=(116, 108, 98), light=(196, 188, 174)), dtype=np.float32)
    share = joint[..., None]
    return Image.fromarray(np.clip(mortar * (1 - share) + wall * share, 0, 255).astype(np.uint8))


def foliage(rng: np.random.Generator) -> Image.Image:
    """A hedge or trees out of focus, with light coming through."""
    small = SIDE // 2
    image = tinted(0.4 + 0.5 * cloudy(rng, (small, small), cells=5), dark=(20, 38, 20), light=(96, 128, 58))
    for count, radius, blur in ((160, (14, 34), 7.0), (130, (8, 20), 2.5), (50, (7, 15), 0.8)):
        layer = Image.new("RGBA", (small, small), (96, 128, 58, 0))
        draw = ImageDraw.Draw(layer)
        for _ in range(count):
            x, y = rng.uniform(0, small, 2)
            size = float(rng.uniform(*radius))
            ink = mix((40, 70, 28), (206, 220, 120), share=float(rng.random()) ** 1.5)
            draw.ellipse((x - size, y - size, x + size, y + size), fill=(*ink, int(rng.integers(60, 150))))
        layer = layer.filter(ImageFilter.GaussianBlur(blur))
        image.paste(layer, mask=layer)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def sky(rng: np.random.Generator) -> Image.Image:
    """A summer sky with clouds."""
    rows = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None]
    blue = np.asarray(
        tinted(np.broadcast_to(rows, (SIDE, SIDE)), dark=(58, 116, 186), light=(196, 222, 240)),
        dtype=np.float32,
    )
    billows = cloudy(rng, (SIDE, SIDE), cells=4, octaves=6) + 0.4 * field(rng, (SIDE, SIDE), cells=(3, 2))
    cover = np.clip((billows - 0.02) * 2.6, 0, 0.95)[..., None]
    shade = np.clip(250 - 60 * np.clip(billows - 0.25, 0, 1), 0, 255)[..., None]
    return Image.fromarray((blue * (1 - cover) + shade * cover).astype(np.uint8))


OUTDOORS = {
    "grass": grass,
    "gravel": gravel,
    "sand": sand,
    "concrete": concrete,
    "paving": paving,
    "brick": brick,
    "foliage": foliage,
    "sky": sky,
}
