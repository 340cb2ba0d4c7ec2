"""Data passed between the steps of describing: image properties, raw features and final descriptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import ImageError
from kindred.features import LocalFeatures
from kindred.store import VisualWords

__all__ = ["Description", "ImageInfo", "RawFeatures"]

T = TypeVar("T")


@dataclass(frozen=True)
class ImageInfo:
    """Name (for error messages), upright size in pixels and capture date of an image.

    frames, frame: the number of frames or pages in its file, and the index from 0 of the decoded one.
    """

    name: Path | str
    width: int
    height: int
    taken: str | None = None
    frames: int = 1
    frame: int = 0


@dataclass(frozen=True, eq=False)
class RawFeatures(Generic[T]):
    """Features of one image from all its passes, before whitening, embedding and aggregation.

    rows: one (N, C) array per tap: the pooled vectors of the passes, or the local descriptors of map positions.
    levels: (N,) int64, the level of the pass that each row comes from.
    boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original; NaN if a row describes the whole image.
    passes: the number of network passes. more: extracts the local features of the other passes over a query, which
    `features` lack, if it was described lazily.
    """

    key: T
    info: ImageInfo
    rows: tuple[Vectors, ...]
    levels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    passes: int = 1
    features: LocalFeatures | None = None
    more: Callable[[], LocalFeatures | None] | None = None


@dataclass(frozen=True, eq=False)
class Description(Generic[T]):
    """The vectors (R, D) of one image, or the error if it is unusable.

    R is 1 unless the recipe describes an image by several rows; except with ASMK, the first row is then that of the
    whole image. boxes: (R, 4) x0 y0 x1 y1, NaN for the whole image; None if every row describes the whole image.
    words: (R,) int64, the visual word of each row, with ASMK. visual_words: those of the local features, if the recipe
    has words. Sizes and boxes are in pixels of the upright original. frames, frame: as in `ImageInfo`. more: as in
    `RawFeatures`.
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
    more: Callable[[], LocalFeatures | None] | None = field(default=None, repr=False)

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """The first of the vectors, (D,)."""
        return None if self.vectors is None else self.vectors[0]
