"""Lay a transparent picture on a ground that shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["choose_ground", "lay_on"]

_WHITE, _GREY = 255, 128
_NEARLY_WHITE = 235  # of 255, in every channel
_SHARE = 0.95  # of what is visible


def choose_ground(source: Image.Image | NDArray[np.uint8]) -> int:
    """The grey level to lay an LA or RGBA picture on: white, or mid-grey where white would hide it.

    That is where the picture is nearly white itself: 95 % of what is visible, weighted by opacity, has no channel below
    235. `source` is an image or an array (H, W, 2 or 4).
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


def lay_on(image: Image.Image, ground: int) -> Image.Image:
    """Lay an LA or RGBA image on a grey level, as L or RGB."""
    plain = "L" if image.mode == "LA" else "RGB"
    laid = Image.new(plain, image.size, ground if plain == "L" else (ground, ground, ground))
    laid.paste(image.convert(plain), mask=image.getchannel("A"))
    return laid
