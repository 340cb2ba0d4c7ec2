"""Augmentation for retrieval: another crop in other light that still shows the same object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.errors import UsageError

__all__ = ["Augmentation", "degraded"]

MIN_SIDE = 16  # minimum side of a crop in pixels of the original, if the image is large enough


@dataclass(frozen=True)
class Augmentation:
    """Random square crops of an image, determined by the generator that they are drawn from.

    area: the smallest and the largest share of the image that a crop shows. aspect: the largest aspect ratio of the
    cut part, and its inverse the smallest; 4/3 as in the training of ImageNet networks (Szegedy et al. 2015). flip:
    whether half of the crops are mirrored, which is wrong where letters or left and right matter. colour: how far the
    gain of each channel may be from 1; half as much more for all three together, and a third of it as a shift of the
    brightness. coarse: the share of crops that are first reduced to as little as a quarter of their side, as an image
    from a phone or the web may be.

    Crops are mild compared with those of classification: retrieval must recognise the whole object, not any part of
    it. Raises UsageError for values out of range.
    """

    area: tuple[float, float] = (0.3, 1.0)
    aspect: float = 4 / 3
    flip: bool = True
    colour: float = 0.3
    coarse: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.area
        if (
            not 0 < low <= high <= 1
            or not 1 <= self.aspect < math.inf
            or not 0 <= self.colour < 1
            or not 0 <= self.coarse <= 1
        ):
            raise UsageError(
                f"augmentation {self}; expected 0 < area <= 1, aspect >= 1, colour in [0, 1) and coarse in [0, 1]"
            )

    def crop(self, image: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Cut a crop of an image (H, W, 3): (size, size, 3) uint8 RGB."""
        height, width = image.shape[:2]
        area = height * width * rng.uniform(*self.area)
        aspect = math.exp(rng.uniform(-1, 1) * math.log(self.aspect))
        w = int(np.clip(math.sqrt(area * aspect), min(MIN_SIDE, width), width))
        h = int(np.clip(math.sqrt(area / aspect), min(MIN_SIDE, height), height))
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        side = int(size * rng.uniform(0.25, 1.0)) if rng.random() < self.coarse else size
        cut = Image.fromarray(image)
        cut = cut.resize((side, side), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h), reducing_gap=2.0)
        if side != size:
            cut = cut.resize((size, size), Image.Resampling.BILINEAR)
        if self.flip and rng.random() < 0.5:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(_jitter_colour(cut, self.colour, rng))


def degraded(crop: NDArray[np.uint8], rng: np.random.Generator, *, colour: float = 0.1) -> NDArray[np.uint8]:
    """Return a crop (S, S, 3) at lower quality: reduced to as little as a quarter of its side, in other light.

    colour: as in `Augmentation`.
    """
    size = crop.shape[0]
    side = int(size * rng.uniform(0.25, 1.0))
    image = Image.fromarray(crop).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(_jitter_colour(image.resize((size, size), Image.Resampling.BILINEAR), colour, rng))


def _jitter_colour(image: Image.Image, colour: float, rng: np.random.Generator) -> Image.Image:
    """Multiply each channel by its own random gain, all by a common one, and shift the brightness."""
    if not colour:
        return image
    gains = rng.uniform(1 - colour, 1 + colour, 3) * rng.uniform(1 - colour / 2, 1 + colour / 2)
    shift = rng.uniform(-1, 1) * 85 * colour
    curves = np.clip(np.arange(256) * gains[:, None] + shift, 0, 255).astype(np.uint8)
    return image.point(curves.ravel().tolist())
