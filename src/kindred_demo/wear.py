"""Signs of wear on printed paper."""

from __future__ import annotations

import numpy as np
from PIL import Image

from kindred_demo.noise import cloudy, grain

__all__ = ["worn"]


def worn(face: Image.Image, rng: np.random.Generator, *, strength: float = 1.0) -> Image.Image:
    """Return print on paper: slightly uneven ink, paper grain, and faded edges."""
    width, height = face.size
    pixels = np.asarray(face.convert("RGB"), dtype=np.float32)
    shade = 1.0 + strength * (
        0.035 * cloudy(rng, (height, width), cells=3, octaves=2) + 0.018 * grain(rng, (height, width))
    )
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    rim = np.minimum(np.minimum(x, width - 1 - x)[None, :], np.minimum(y, height - 1 - y))
    rubbed = (
        np.clip((cloudy(rng, (height, width), cells=16, octaves=2) * 4 + 1.2 - rim) / 3.0, 0, 1)[..., None] * strength
    )
    paper = np.array([238, 230, 214], dtype=np.float32)
    mixed = pixels * shade[..., None] * (1 - 0.55 * rubbed) + paper * 0.55 * rubbed
    result = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    result.putalpha(face.getchannel("A"))
    return result
