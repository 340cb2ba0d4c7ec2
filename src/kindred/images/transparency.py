"""Lay a transparent picture on a ground that shows it."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["on_ground"]

_WHITE, _GREY = 255, 128
_NEARLY_WHITE = 235  # of 255, in every channel
_SHARE = 0.95  # of what is visible


def on_ground(image: Image.Image) -> Image.Image:
    """Lay an LA or RGBA image on white, or on mid-grey where it is nearly white itself: then white would hide it.

    Nearly white means that 95 % of what is visible, weighted by opacity, has no channel below 235.
    """
    plain = "L" if image.mode == "LA" else "RGB"
    alpha = image.getchannel("A")
    colours = image.convert(plain)
    ground = _GREY if _hidden_by_white(colours, alpha) else _WHITE
    laid = Image.new(plain, image.size, ground if plain == "L" else (ground, ground, ground))
    laid.paste(colours, mask=alpha)
    return laid


def _hidden_by_white(colours: Image.Image, alpha: Image.Image) -> bool:
    opacity = np.asarray(alpha)
    if opacity.min() == 255:
        return False
    lightest = np.asarray(colours)
    lightest = lightest if lightest.ndim == 2 else lightest.min(axis=2)
    visible = int(opacity.sum(dtype=np.int64))
    white = int(opacity.sum(where=lightest >= _NEARLY_WHITE, dtype=np.int64))
    return visible > 0 and white >= _SHARE * visible
