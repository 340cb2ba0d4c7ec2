"""The results of a search, the record of an image, and facts about a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import LINE
from kindred.errors import ImageError
from kindred.images import ImageLike
from kindred.recipe import Recipe
from kindred.store import Box, Place, Value

__all__ = ["Hit", "ImageRecord", "Info", "QueryResults", "Results", "is_answered"]


@dataclass(frozen=True)
class Hit:
    """One result: `score` is higher for more similar images; `box` is the part that matched, None for the whole image.

    probability: that it shows the same thing as the query, if the recipe has a calibration; below 0.5 it probably does
    not. Sizes and boxes (x0, y0, x1, y1) are in pixels of the upright original. id: unchanged when the image is moved
    or described again. missing: whether its file did not exist at the time of the search.
    """

    rank: int
    path: Path
    score: float
    box: Box | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    tags: tuple[str, ...] = ()
    id: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    missing: bool = False
    probability: float | None = None

    @property
    def probable(self) -> bool | None:
        """Whether it probably shows the same thing as the query; None where the recipe is not calibrated."""
        return None if self.probability is None else self.probability >= LINE


@dataclass(frozen=True)
class ImageRecord:
    """The record of an image. Sizes are in pixels of the upright original.

    id: unchanged when the image is moved or described again. frames, frame: the number of frames or pages of its file,
    and the one that was described, from 0. missing: whether its file does not exist.
    """

    id: str
    path: Path
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)
    frames: int = 1
    frame: int = 0
    missing: bool = False


@dataclass(frozen=True, eq=False)
class Results(Sequence[Hit]):
    """The results of a search, best first: a sequence of hits, and the same as arrays.

    ids: (K,) int64, the store's vector ids. scores: (K,) float32. seconds: duration of the whole search. copies: the
    hits that were left out because they are copies of the query. unlimited: `answered` before hits below a limit were
    left out.
    """

    hits: tuple[Hit, ...]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    seconds: float
    copies: tuple[Hit, ...] = ()
    unlimited: bool | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def above(self, score: float) -> Results:
        """Return the hits with at least this score."""
        return self._chosen([at for at, hit in enumerate(self.hits) if hit.score >= score])

    def likely(self, probability: float) -> Results:
        """Return the hits with at least this probability; those that have none are left out."""
        found = enumerate(self.hits)
        return self._chosen([at for at, hit in found if hit.probability is not None and hit.probability >= probability])

    @property
    def answered(self) -> bool | None:
        """Whether an image probably shows the same thing as the query; None where the recipe is not calibrated.

        Also None if nothing was found. Hits that were left out count: copies of the query, and those below a limit.
        """
        known = is_answered(self.hits, self.copies)
        return self.unlimited if known is None else known

    def _chosen(self, places: list[int]) -> Results:
        hits = tuple(replace(self.hits[at], rank=rank) for rank, at in enumerate(places, 1))
        return replace(self, hits=hits, ids=self.ids[places], scores=self.scores[places], unlimited=self.answered)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[at]


def is_answered(hits: Sequence[Hit], copies: Sequence[Hit] = ()) -> bool | None:
    """Return whether one of the hits is probable; true if there are `copies` of the query, None if nothing is known."""
    if any(hit.probability is not None for hit in copies):
        return True
    known = [hit.probable for hit in hits if hit.probable is not None]
    return any(known) if known else None


@dataclass(frozen=True)
class QueryResults:
    """The results of one of several queries, or the error if its image is unusable."""

    query: ImageLike
    results: Results | None = None
    error: ImageError | None = None


@dataclass(frozen=True)
class Info:
    """Facts about a library.

    path: its folder on this machine. place: where it is, that folder or its address on a server. tags, metadata: every
    tag, and every metadata key, with its number of images. roots: the indexed folders.
    """

    path: Path
    place: Place
    recipe: Recipe
    images: int
    skipped: int
    vectors: int
    dimension: int | None
    tags: dict[str, int]
    bytes: int
    last_run: str | None
    metadata: dict[str, int] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
