"""From a shot to a JPEG file: the scene, its lighting, the imperfections of a camera, the date."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from kindred_demo.flat import Box, Scene, flat_scene
from kindred_demo.noise import Field, field
from kindred_demo.standing import standing_scene
from kindred_demo.studio import Shot, Studio

__all__ = ["Photograph", "photograph"]

FORMATS = ((640, 480), (640, 480), (600, 450), (640, 427), (560, 420), (480, 360))
"""Long and short side in pixels, as of different cameras."""

EXIF_ORIENTATION, EXIF_MAKE, EXIF_MODEL, EXIF_SUB, EXIF_TAKEN = 0x0112, 0x010F, 0x0110, 0x8769, 0x9003

UNDO = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""The transposition with which a picture is stored so that its EXIF orientation shows it upright."""


@dataclass(frozen=True)
class Photograph:
    """JPEG bytes, the upright size, and the box of the object in pixels of the upright picture."""

    jpeg: bytes
    width: int
    height: int
    box: Box


def photograph(shot: Shot, studio: Studio, *, taken: str) -> Photograph:
    """Take one photograph; `taken` is its date as EXIF writes it, "2024:05:17 10:32:00"."""
    rng = np.random.default_rng(shot.seed)
    scene = _scene(shot, studio, rng)
    pixels = _developed(scene.frame, studio, rng, careful=shot.careful, airy=shot.setting.airy)
    image = Image.fromarray(pixels)
    width, height = image.size
    exif = Image.Exif()
    exif[EXIF_MAKE], exif[EXIF_MODEL] = "Kindred", "rendered demo"
    exif[EXIF_SUB] = {EXIF_TAKEN: taken}
    if shot.orientation != 1:
        exif[EXIF_ORIENTATION] = shot.orientation
        image = image.transpose(UNDO[shot.orientation])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(81, 91)), exif=exif)
    return Photograph(file.getvalue(), width, height, scene.box)


def _scene(shot: Shot, studio: Studio, rng: np.random.Generator) -> Scene:
    long, short = FORMATS[int(rng.integers(len(FORMATS)))]
    things = [studio.things[number] for number in (shot.thing, shot.companion) if number is not None]
    tall = things[0].height > 1.15 * things[0].width and len(things) == 1
    wide = things[0].width > 1.15 * things[0].height or len(things) == 2
    portrait = rng.random() < (0.75 if tall else 0.15 if wide else 0.4)
    size = (short, long) if portrait else (long, short)
    stands = shot.setting.pose == "stands"
    return (standing_scene if stands else flat_scene)(shot, studio, rng, size=size)


def _illumination(rng: np.random.Generator, size: tuple[int, int], *, dappled: bool) -> Field:
    """Return the light over the frame, (height, width) around 1: darker on one side and in the corners."""
    height, width = 48, 64
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    bearing, fall = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.02, 0.26))
    levels = 1.0 + fall * (np.cos(bearing) * x + np.sin(bearing) * y) - float(rng.uniform(0.03, 0.14)) * (x**2 + y**2)
    chance = rng.random() if dappled else 1.0
    if chance < 0.12:  # shadows of window bars
        slope, pitch = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(3.0, 6.0))
        bars = np.sin((x + slope * y) * pitch + float(rng.uniform(0, 6)))
        levels -= 0.24 * np.clip(bars * 2 + 0.4, 0, 1)
    elif chance < 0.24:  # shadows of leaves
        dapple = field(rng, (height, width), cells=(7, 9))
        levels -= 0.3 * np.clip(dapple * 3 + 0.2, 0, 1)
    soft = Image.fromarray(levels.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(soft, dtype=np.float32)


def _developed(
    frame: Image.Image, studio: Studio, rng: np.random.Generator, *, careful: bool, airy: bool
) -> NDArray[np.uint8]:
    """Apply light, colour cast, contrast, blur and noise; (H, W, 3) uint8."""
    ease = 0.55 if careful else 1.0
    if rng.random() < 0.45 * ease:
        frame = frame.filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 1.3))))
    size = (frame.height, frame.width)
    warmth, tint = float(rng.normal(0.01, 0.07)) * ease, float(rng.normal(0, 0.02))
    exposure = float(rng.uniform(1 - 0.2 * ease, 1 + 0.28 * ease))
    contrast = float(rng.uniform(1 - 0.14 * ease, 1.1))
    gains = np.array([1 + warmth, 1 + tint, 1 - warmth], dtype=np.float32) * np.float32(exposure * contrast)
    level = np.float32(rng.uniform(1.2, 7.0 if rng.random() < 0.3 else 3.5))
    light = _illumination(rng, size, dappled=not airy)
    shaken = rng.random() < 0.12 * ease
    pixels = np.asarray(_shaken(frame, rng) if shaken else frame).astype(np.float32)
    offset = np.float32(118 * (1 - contrast))
    common = offset + level * studio.grain(size, rng)
    for channel in range(3):
        # Noise is mostly in the luminance and a little in the colour.
        pixels[..., channel] *= light * gains[channel]
        pixels[..., channel] += common + np.float32(0.4) * level * studio.grain(size, rng)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _shaken(frame: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply motion blur along a short straight path."""
    bearing = float(rng.uniform(0, np.pi))
    across, down = round(2.2 * np.cos(bearing)), round(2.2 * np.sin(bearing))
    once = Image.blend(frame, ImageChops.offset(frame, across, down), 0.5)
    return Image.blend(once, ImageChops.offset(once, 2 * across, 2 * down), 0.5)
