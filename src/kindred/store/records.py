"""What goes into the store and what comes out of it: small frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Counts", "Entry", "Filter", "Known", "Row", "Run", "Stamp", "State"]

State = Literal["indexed", "skipped"]

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels of the original image, upright."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One image to put: described (`vectors`) or skipped (`reason`), never both.

    path: absolute. size: bytes. mtime_ns: nanoseconds. width, height: pixels of the original image, upright.
    taken: ISO date or date and time from the image itself.
    vectors: (R, D) finite numbers, stored as float32, one row for each region.
    boxes: (R, 4) x0 y0 x1 y1 in pixels of the original image; a row of NaN, or no boxes: the whole image.
    words: (R,) whole numbers, the visual word of each row: the rows are then kept together, at half precision.
    features: the local features, as bytes.
    """

    path: Path
    size: int
    mtime_ns: int
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    vectors: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    reason: str | None = None
    words: NDArray[np.int64] | None = None
    features: bytes | None = None


@dataclass(frozen=True)
class Known:
    """What the store knows of a file, to tell whether it changed."""

    id: int
    size: int
    mtime_ns: int
    state: State


@dataclass(frozen=True)
class Stamp:
    """The size (bytes) and time (nanoseconds) of a file whose content is known to be unchanged."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Row:
    """One vector's image; `box` is None where the vector describes the whole image.

    vector_id: 0 where an image was asked for, not one of its vectors.
    """

    vector_id: int
    image_id: int
    path: Path
    width: int | None
    height: int | None
    taken: str | None
    region: int
    box: Box | None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Which images may answer; everything given must hold.

    folder: the image lies in it, at any depth. tags: the image has all of them.
    after, before: first and last day, both included. The day is the one on which the picture was taken, or
    else that of the file's time, in the time zone of the machine that indexed it.
    """

    folder: Path | None = None
    tags: tuple[str, ...] = ()
    after: date | None = None
    before: date | None = None


@dataclass(frozen=True)
class Counts:
    """How much the store holds."""

    images: int
    indexed: int
    skipped: int
    vectors: int


@dataclass(frozen=True)
class Run:
    """One indexing run. `started`, `finished`: UTC, ISO; no `finished` while it runs or if it was cut off."""

    id: int
    started: str
    finished: str | None = None
    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    skipped: int = 0
    removed: int = 0
