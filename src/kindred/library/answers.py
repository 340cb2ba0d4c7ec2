"""Answers: what a library says when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ImageError
from kindred.images import ImageLike
from kindred.recipe import Recipe
from kindred.store import Box

__all__ = ["Answer", "Hit", "Info", "QueryAnswer"]


@dataclass(frozen=True)
class Hit:
    """One image found: `score` is higher the more alike, `box` the part that matched, None for the whole.

    Sizes and boxes (x0, y0, x1, y1) are in pixels of the upright original.
    """

    rank: int
    path: Path
    score: float
    box: Box | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer(Sequence[Hit]):
    """What a search found, best first: a sequence of hits, and the same as arrays.

    ids: (K,) int64, the store's vector ids. scores: (K,) float32. seconds: the whole search took.
    """

    hits: tuple[Hit, ...]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    seconds: float

    def __len__(self) -> int:
        return len(self.hits)

    def above(self, score: float) -> Answer:
        """Return the answers of at least this score."""
        count = sum(1 for hit in self.hits if hit.score >= score)
        if count == len(self.hits):
            return self
        return Answer(self.hits[:count], self.ids[:count], self.scores[:count], self.seconds)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[at]


@dataclass(frozen=True)
class QueryAnswer:
    """One of several queries: its answer, or the error that its image met."""

    query: ImageLike
    answer: Answer | None = None
    error: ImageError | None = None


@dataclass(frozen=True)
class Info:
    """What a library holds."""

    path: Path
    recipe: Recipe
    images: int
    skipped: int
    vectors: int
    dimension: int | None
    tags: dict[str, int]
    bytes: int
    last_run: str | None
