"""What is remembered of every picture while duplicates are looked for: a thumbnail and its lowest frequencies.

The low frequencies of a picture (the block of the cosine transform that perceptual hashes are made of, Zauner 2010)
find copies among all pictures at once. Turning or mirroring a picture only swaps them and changes their signs, so that
turned copies are found with one sketch of each picture.
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
"""Pixels of the long side: some 7 kB a picture."""
SQUARE = 32
"""Pixels on each side of which the frequencies are taken."""
FREQUENCIES = 8
"""Frequencies of each direction."""
BLANK = 2.0
"""Standard deviation in grey levels below which a picture shows nothing."""
BLOCK = 256
"""Pictures that ask at a time."""

Grey = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sketch:
    """A picture in small.

    thumbnail: (h, w) uint8 grey, upright. frequencies: (8, 8) float32, of unit length without the mean brightness;
    zero where the picture is blank. width, height: pixels of the upright original. frames: of the file, of which one
    was looked at.
    """

    thumbnail: NDArray[np.uint8]
    frequencies: Grey
    width: int
    height: int
    frames: int

    @property
    def comparable(self) -> bool:
        """Whether its pixels can say that it is the same as another: all of it was seen, and it shows something."""
        return self.frames == 1 and bool(self.frequencies.any())


@dataclass(frozen=True)
class Candidate:
    """Two pictures by place, the first before the second, that may be the same after `turn` of the first."""

    one: int
    other: int
    turn: Turn
    score: float


def sketch(path: Path) -> Sketch | None:
    """Decode an image and return its sketch; None where it cannot be read."""
    try:
        decoded = decode(path, longest=LONGEST)
    except ImageError:
        return None
    pixels = decoded.pixels
    thumbnail = np.rint(grey(resize(pixels, longest=THUMBNAIL))).astype(np.uint8)
    frequencies = _frequencies(grey(stretch(pixels, height=SQUARE, width=SQUARE)))
    return Sketch(thumbnail, frequencies, decoded.width, decoded.height, decoded.frames)


def _frequencies(square: Grey) -> Grey:
    """Return the lowest frequencies (8, 8) of a picture (32, 32), of unit length; zero where it is blank."""
    if float(square.std()) < BLANK:
        return np.zeros((FREQUENCIES, FREQUENCIES), np.float32)
    at = np.arange(SQUARE) + 0.5
    waves = np.cos(np.pi / SQUARE * np.arange(FREQUENCIES)[:, None] * at).astype(np.float32)
    waves[0] *= np.float32(0.5**0.5)
    found = (waves @ square @ waves.T).astype(np.float32, copy=False)
    found[0, 0] = 0
    return found / max(float(np.linalg.norm(found)), 1e-6)


def turned_frequencies(frequencies: Grey, turn: Turn) -> Grey:
    """Return what the frequencies (…, 8, 8) of pictures become when the pictures are turned."""
    signs = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    found: Grey = frequencies * signs if turn.mirrored else frequencies
    for _ in range(turn.degrees // 90):
        found = (np.swapaxes(found, -1, -2) * signs).astype(np.float32, copy=False)
    return found


def candidates(
    sketches: Sequence[Sketch], *, k: int, least: float, progress: Callable[[int, int], None]
) -> list[Candidate]:
    """Return for every picture the `k` most alike of all others in all eight turns, each pair and turn once.

    least: cosine of the frequencies. Time grows with the square of the number of pictures: 8 × 64 products a pair.
    `progress` is called with the pictures done and their number.
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
        asked = np.concatenate([turned_frequencies(block, turn).reshape(len(block), -1) for turn in TURNS])
        scores, near = index.search(np.ascontiguousarray(asked), min(k + 1, len(rows)))
        scores, near = _by_picture(scores, len(block)), _by_picture(near, len(block))
        turn_of = np.repeat(np.arange(len(TURNS)), scores.shape[1] // len(TURNS))
        itself = near == np.arange(start, start + len(block))[:, None]
        scores = np.where(itself, -1, scores).astype(np.float32, copy=False)
        for row, column in zip(*_best(scores, k, least), strict=True):
            one, other = int(places[start + row]), int(places[near[row, column]])
            turn = TURNS[turn_of[column]]
            key = (one, other, turn) if one < other else (other, one, turn.undone())
            found[key] = max(found.get(key, -1.0), float(scores[row, column]))
        progress(min(start + BLOCK, len(rows)), len(rows))
    return [Candidate(one, other, turn, score) for (one, other, turn), score in found.items()]


Answer = TypeVar("Answer", np.float32, np.int64)


def _by_picture(answers: NDArray[Answer], pictures: int) -> NDArray[Answer]:
    """Return the answers (8 · n, k) to all turns as those of each picture (n, 8 · k)."""
    return answers.reshape(len(TURNS), pictures, -1).swapaxes(0, 1).reshape(pictures, -1)


def _best(scores: Grey, k: int, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the `k` best scores of each row that are `least` or more."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.repeat(np.arange(len(scores)), best.shape[1])
    columns = best.ravel()
    good = scores[rows, columns] >= least
    return rows[good], columns[good]
