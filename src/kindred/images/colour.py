"""Convert decoded pixels of any colour space to sRGB, in groups of rows."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.images.transparency import choose_background, composite

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

__all__ = ["needs_conversion", "to_srgb"]

_PROFILE_SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
_SAME_COLOURS = 2  # of 255: a profile that changes no colour by more than this is treated as sRGB
_PIXELS_AT_ONCE = 4_000_000


def to_srgb(source: Image.Image | NDArray[np.uint8], mode: str, profile: bytes) -> NDArray[np.uint8]:
    """Convert pixels of mode L, LA, RGB, RGBA or CMYK to (H, W, 3) sRGB, compositing transparency on a background.

    `source` is a loaded image or an array (H, W, C), which may be modified and returned; `profile` is the embedded ICC
    profile, empty if there is none.
    """
    transform = _transform(profile, {"RGBA": "RGB", "LA": "L"}.get(mode, mode)) if profile else None
    if mode == "RGB" and transform is None and isinstance(source, np.ndarray):
        return source
    height, width = source.shape[:2] if isinstance(source, np.ndarray) else (source.height, source.width)
    background = choose_background(source) if mode in ("LA", "RGBA") else None
    in_place = isinstance(source, np.ndarray) and mode == "RGB" and source.flags.writeable
    out = source if isinstance(source, np.ndarray) and in_place else np.empty((height, width, 3), np.uint8)
    step = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, step):
        rows = _rows(source, mode, top, min(height, top + step))
        if background is not None:
            rows = composite(rows, background)
        if transform is not None:
            rows = transform.apply(rows)
        out[top : top + step] = np.asarray(rows if rows.mode == "RGB" else rows.convert("RGB"))
    return out


def _rows(source: Image.Image | NDArray[np.uint8], mode: str, top: int, bottom: int) -> Image.Image:
    if isinstance(source, np.ndarray):
        rows = np.ascontiguousarray(source[top:bottom])
        return Image.frombuffer(mode, (rows.shape[1], rows.shape[0]), rows, "raw", mode, 0, 1)
    if (top, bottom) == (0, source.height):
        return source
    return source.crop((0, top, source.width, bottom))


def needs_conversion(profile: bytes) -> bool:
    """Return whether RGB pixels with this embedded profile must be converted to sRGB."""
    return bool(profile) and _transform(profile, "RGB") is not None


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Return the transform from an ICC profile to sRGB, or None if it is not needed or the profile is unusable.

    Cached, as building one takes milliseconds and all photos of a camera have the same profile. LittleCMS transforms
    are thread-safe.
    """
    from PIL import ImageCms

    if _PROFILE_SPACES.get(mode) != profile[16:20]:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = _probe(mode)
        change = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile is ignored
        return None
    return transform if np.abs(change).max() > _SAME_COLOURS else None


def _probe(mode: str) -> Image.Image:
    """Return a small image of colours sampled evenly over the whole gamut of `mode`."""
    bands = Image.getmodebands(mode)
    steps = np.linspace(0, 255, 7 if bands > 1 else 64).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[steps] * bands, indexing="ij"), axis=-1).reshape(1, -1, bands)
    return Image.frombytes(mode, (grid.shape[1], 1), grid.tobytes())
