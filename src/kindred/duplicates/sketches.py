"""Sketches: a thumbnail and the lowest frequencies of every image, to find candidates for the same picture.

The low frequencies (the block of the cosine transform used by perceptual hashes, Zauner 2010) are searched among all
images. Rotating or mirroring an image only permutes them and changes their signs, so that turned copies are found with
one sketch per image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.duplicates.confirmation import LONGEST, grey
from kindred.duplicates.turns import TURNS, Turn
from kindred.errors import ImageError
from kindred.images import decode, resize, stretch

__all__ = ["Candidate", "Sketch", "candidates", "sketch", "turned_frequencies"]

THUMBNAIL = 96
"""Longer side of a thumbnail in pixels: about 7 kB per image."""
SQUARE = 32
"""Side in pixels of the image that is transformed."""
FREQUENCIES = 8
"""Number of frequencies along each axis."""
BLANK = 2.0
"""Standard deviation in grey levels below which an image is blank."""
BLOCK = 256
"""Number of images per search."""

Grey = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sketch:
    """A compact representation of an image.

    thumbnail: (h, w) uint8 grey, upright. frequencies: (8, 8) float32, of unit length, without the mean brightness;
    zero for a blank image. width, height: pixels of the upright original. frames: number of frames of the file, of
    which one was decoded.
    """

    thumbnail: NDArray[np.uint8]
    frequencies: Grey
    width: int
    height: int
    frames: int

    @property
    def comparable(self) -> bool:
        """Whether the image can be confirmed by pixels: its file has one frame, and it is not blank."""
        return self.frames == 1 and bool(self.frequencies.any())


@dataclass(frozen=True)
class Candidate:
    """Two images by index, the first before the second, that may show the same picture after `turn` of the first."""

    one: int
    other: int
    turn: Turn
    score: float


def sketch(path: Path) -> Sketch | None:
    """Decode an image and return its sketch; None if it cannot be read."""
    try:
        decoded = decode(path, longest=LONGEST)
    except ImageError:
        return None
    pixels = decoded.pixels
    thumbnail = np.rint(grey(resize(pixels, longest=THUMBNAIL))).astype(np.uint8)
    frequencies = _frequencies(grey(stretch(pixels, height=SQUARE, width=SQUARE)))
    return Sketch(thumbnail, frequencies, decoded.width, decoded.height, decoded.frames)


def _frequencies(square: Grey) -> Grey:
    """Return the lowest frequencies (8, 8) of an image (32, 32), of unit length; zero if it is blank."""
    if float(square.std()) < BLANK:
        return np.zeros((FREQUENCIES, FREQUENCIES), np.float32)
    at = np.arange(SQUARE) + 0.5
    waves = np.cos(np.pi / SQUARE * np.arange(FREQUENCIES)[:, None] * at).astype(np.float32)
    waves[0] *= np.float32(0.5**0.5)
    found = (waves @ square @ waves.T).astype(np.float32, copy=False)
    found[0, 0] = 0
    return found / max(float(np.linalg.norm(found)), 1e-6)


def turned_frequencies(frequencies: Grey, turn: Turn) -> Grey:
    """Return the frequencies (…, 8, 8) of turned images from those of the originals."""
    signs = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    found: Grey = frequencies * signs if turn.mirrored else frequencies
    for _ in range(turn.degrees // 90):
        found = (np.swapaxes(found, -1, -2) * signs).astype(np.float32, copy=False)
    return found


def candidates(
    sketches: Sequence[Sketch], *, k: int, least: float, progress: Callable[[int, int], None]
) -> list[Candidate]:
    """Return the `k` most similar other images of each image under all eight turns, each pair and turn once.

    least: lowest cosine of the frequencies. Time is quadratic in the number of images: 8 × 64 products per pair.
    `progress` is called with the number of images done and their total.
    """
    import faiss

    places = np.array([at for at, each in enumerate(sketches) if each.comparable], np.int64)
    if len(places) < 2:
        return []
    rows = np.stack([each.frequencies for each in sketches if each.comparable])
    index = faiss.IndexFlatIP(FREQUENCIES * FREQUENCIES)
    index.add(rows.reshape(len(rows), -1))
    found: dict[tuple[int, int, Turn], float] = {}
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        queries = np.concatenate([turned_frequencies(block, turn).reshape(len(block), -1) for turn in TURNS])
        scores, near = index.search(np.ascontiguousarray(queries), min(k + 1, len(rows)))
        scores, near = _by_image(scores, len(block)), _by_image(near, len(block))
        turn_of = np.repeat(np.arange(len(TURNS)), scores.shape[1] // len(TURNS))
        itself = near == np.arange(start, start + len(block))[:, None]
        scores = np.where(itself, -1, scores).astype(np.float32, copy=False)
        for row, column in zip(*_best(scores, k, least), strict=True):
            one, other = int(places[start + row]), int(places[near[row, column]])
            turn = TURNS[turn_of[column]]
            key = (one, other, turn) if one < other else (other, one, turn.inverse())
            found[key] = max(found.get(key, -1.0), float(scores[row, column]))
        progress(min(start + BLOCK, len(rows)), len(rows))
    return [Candidate(one, other, turn, score) for (one, other, turn), score in found.items()]


Entry = TypeVar("Entry", np.float32, np.int64)


def _by_image(found: NDArray[Entry], pictures: int) -> NDArray[Entry]:
    """Rearrange search results (8 · n, k) of all turns by image (n, 8 · k)."""
    return found.reshape(len(TURNS), pictures, -1).swapaxes(0, 1).reshape(pictures, -1)


def _best(scores: Grey, k: int, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the `k` best scores of each row that are at least `least`."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.repeat(np.arange(len(scores)), best.shape[1])
    columns = best.ravel()
    good = scores[rows, columns] >= least
    return rows[good], columns[good]
