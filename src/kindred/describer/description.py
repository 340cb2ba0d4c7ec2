"""What passes between the steps of describing: what was seen of an image, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import ImageError
from kindred.features import LocalFeatures
from kindred.store import VisualWords

__all__ = ["Description", "Facts", "RawFeatures"]

T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """What an image says of itself; sizes in pixels, upright. `name` is for errors.

    frames, frame: how many frames or pages its file has, and which of them, from 0, was decoded.
    """

    name: Path | str
    width: int
    height: int
    taken: str | None = None
    frames: int = 1
    frame: int = 0


@dataclass(frozen=True, eq=False)
class RawFeatures(Generic[T]):
    """What the network saw of one image in all its passes, before anything learned is applied.

    rows: one (N, C) array for each tap: the vectors of the passes, or the descriptors of positions.
    levels: (N,) int64, the level of the pass that each row comes from.
    boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original; NaN where a row stands for the whole image.
    passes: how often the network ran.
    """

    key: T
    facts: Facts
    rows: tuple[Vectors, ...]
    levels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    passes: int = 1
    features: LocalFeatures | None = None


@dataclass(frozen=True, eq=False)
class Description(Generic[T]):
    """One image's answer: its vectors (R, D), or the error that it met.

    R is 1 unless the recipe keeps several rows of an image; the first is then that of the whole image, but for
    ASMK. boxes: (R, 4) x0 y0 x1 y1, NaN for the whole image; None where all are. words: (R,) int64, the visual
    word that each row belongs to, in ASMK. visual_words: those of the local features, where the recipe has words.
    Sizes and boxes are in pixels of the upright original. frames, frame: as in `Facts`.
    """

    key: T
    vectors: NDArray[np.float32] | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    error: ImageError | None = None
    boxes: NDArray[np.float32] | None = None
    words: NDArray[np.int64] | None = None
    features: LocalFeatures | None = field(default=None, repr=False)
    frames: int = 1
    frame: int = 0
    visual_words: VisualWords | None = field(default=None, repr=False)

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """The first of the vectors, (D,)."""
        return None if self.vectors is None else self.vectors[0]
