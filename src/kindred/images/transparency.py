"""Composite a transparent image on a contrasting background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["choose_background", "composite"]

_WHITE, _GREY = 255, 128
_NEARLY_WHITE = 235  # of 255, in every channel
_SHARE = 0.95  # of the visible area


def choose_background(source: Image.Image | NDArray[np.uint8]) -> int:
    """Return the grey level of the background of an LA or RGBA image: white, or mid-grey if the image is nearly white.

    Nearly white means that 95 % of the visible area, weighted by opacity, has no channel below 235. `source` is an
    image or an array (H, W, 2 or 4).
    """
    height = source.shape[0] if isinstance(source, np.ndarray) else source.height
    visible = white = 0
    opaque = True
    for top in range(0, height, 256):
        rows = _rows(source, top, min(height, top + 256))
        opacity, light = rows[..., -1], rows[..., :-1].min(axis=2) >= _NEARLY_WHITE
        visible += int(opacity.sum(dtype=np.int64))
        white += int(opacity.sum(where=light, dtype=np.int64))
        opaque = opaque and int(opacity.min()) == 255
    return _GREY if not opaque and visible and white >= _SHARE * visible else _WHITE


def _rows(source: Image.Image | NDArray[np.uint8], top: int, bottom: int) -> NDArray[np.uint8]:
    if isinstance(source, np.ndarray):
        return source[top:bottom]
    return np.asarray(source.crop((0, top, source.width, bottom)))


def composite(image: Image.Image, background: int) -> Image.Image:
    """Composite an LA or RGBA image on a grey level; returns L or RGB."""
    plain = "L" if image.mode == "LA" else "RGB"
    laid = Image.new(plain, image.size, background if plain == "L" else (background, background, background))
    laid.paste(image.convert(plain), mask=image.getchannel("A"))
    return laid
