"""Bring whatever Pillow decoded to upright 8-bit sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

__all__ = ["eight_bits", "needs_conversion", "to_srgb", "turn_upright", "upright_size"]

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


def to_srgb(image: Image.Image, *, profile: bytes, longest: int | None = None) -> Image.Image:
    """Convert a loaded image of any mode to RGB in sRGB, transparency laid on white.

    `profile` is the embedded ICC profile, empty where there is none. With `longest` the image is first
    reduced by the whole number that leaves its long side ≥ `longest`, so that the rest costs little.
    """
    image = _as_plain_mode(image)
    divisor = max(image.size) // longest if longest else 1
    if divisor > 1:
        image = image.reduce(divisor)
    if image.mode in ("LA", "RGBA"):
        image = _on_white(image)
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def needs_conversion(profile: bytes) -> bool:
    """Whether RGB pixels with this embedded profile differ from sRGB."""
    return bool(profile) and _transform(profile, "RGB") is not None


def _as_plain_mode(image: Image.Image) -> Image.Image:
    """The same image as L, LA, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode.startswith("I;16"):
        return Image.fromarray(eight_bits(np.asarray(image)))
    if mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image)))
    if mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("LA" if mode == "La" else "RGBA")
    if mode == "1":
        return image.convert("L")
    return image if mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def eight_bits(values: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale 16-bit values by their full range, rounded to the nearest; 8-bit values come back as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _stretched(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Wider integers and floats have no full range to scale by, so theirs is what they span."""
    real = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = real.min(), real.max()
    scaled = (real - low) * (255.0 / (high - low)) if high > low else np.zeros_like(real)
    return np.rint(scaled).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    plain = "L" if image.mode == "LA" else "RGB"
    white = Image.new(plain, image.size, "white")
    white.paste(image.convert(plain), mask=image.getchannel("A"))
    return white


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
