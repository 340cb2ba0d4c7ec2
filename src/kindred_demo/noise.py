"""Smooth random fields, from which wood, stone, cloth and paper are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Field", "cloudy", "field", "grain"]

Field = NDArray[np.float32]


def field(rng: np.random.Generator, size: tuple[int, int], *, cells: tuple[int, int]) -> Field:
    """Return a smooth random field, (height, width), about -1 to 1, of `cells` (down, across) independent values."""
    coarse = rng.uniform(-1.0, 1.0, size=(max(2, cells[0]), max(2, cells[1]))).astype(np.float32)
    image = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def cloudy(rng: np.random.Generator, size: tuple[int, int], *, cells: int, octaves: int = 4) -> Field:
    """Return noise at several scales, each half as large and half as strong as the previous one (Perlin 1985)."""
    total = np.zeros(size, dtype=np.float32)
    weight, norm = 1.0, 0.0
    for octave in range(octaves):
        count = cells * 2**octave
        total += weight * field(rng, size, cells=(count, round(count * size[1] / size[0])))
        norm += weight
        weight *= 0.5
    return total / np.float32(norm)


def grain(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Return independent normal values, (height, width), with standard deviation 1."""
    return rng.standard_normal(size, dtype=np.float32)
