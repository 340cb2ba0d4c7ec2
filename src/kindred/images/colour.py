"""Bring a decoded picture to upright sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kindred.images.transparency import on_ground

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

__all__ = ["needs_conversion", "to_srgb", "turn_upright", "upright_size"]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILE_SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
_SAME_COLOURS = 2  # of 255: a profile that moves no colour further is sRGB under another name


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo the turn that an EXIF orientation (1 to 8) describes."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """The (width, height) after `turn_upright`."""
    return (height, width) if orientation >= 5 else (width, height)


def to_srgb(image: Image.Image, *, profile: bytes) -> Image.Image:
    """Convert an image of mode L, LA, RGB, RGBA or CMYK to RGB in sRGB, transparency laid on a ground.

    `profile` is the embedded ICC profile, empty where there is none.
    """
    if image.mode in ("LA", "RGBA"):
        image = on_ground(image)
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def needs_conversion(profile: bytes) -> bool:
    """Whether RGB pixels with this embedded profile differ from sRGB."""
    return bool(profile) and _transform(profile, "RGB") is not None


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """The transform from an ICC profile to sRGB, or None where none is needed or the profile is of no use.

    Building one takes milliseconds, and the photos of a camera all carry the same profile. LittleCMS
    transforms may be used by several threads at once.
    """
    from PIL import ImageCms

    if _PROFILE_SPACES.get(mode) != profile[16:20]:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = _probe(mode)
        change = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile: show the colours as they are
        return None
    return transform if np.abs(change).max() > _SAME_COLOURS else None


def _probe(mode: str) -> Image.Image:
    """A small image of colours spread evenly over the whole space of `mode`."""
    bands = Image.getmodebands(mode)
    steps = np.linspace(0, 255, 7 if bands > 1 else 64).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[steps] * bands, indexing="ij"), axis=-1).reshape(1, -1, bands)
    return Image.frombytes(mode, (grid.shape[1], 1), grid.tobytes())
