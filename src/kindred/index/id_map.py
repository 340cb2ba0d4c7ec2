"""What all indexes share: the ids of their rows, which of them can be found, and checks of what comes in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.ranking import Ranking

__all__ = ["WORN_SHARE", "Found", "IdMap", "checked_queries", "checked_rows", "padded_ranking"]

Found = tuple[NDArray[np.int64], Vectors]
"""ids (Q, n) and scores (Q, n), best first; n ≤ k where fewer rows may answer."""


WORN_SHARE = 0.5
"""Where more of the rows than this are dead, the living are copied together."""


@dataclass(frozen=True, eq=False)
class IdMap:
    """The ids of rows 0 … N − 1 and which rows live. Never changed in place, so that searches need no lock.

    ids: (N,) int64, ascending: SQLite gives out ids in ascending order and never one twice, and an ascending
    list finds the place of an id without a dictionary of a million. alive: (N,) bool.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    alive: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", int(np.count_nonzero(self.alive)))

    @property
    def last(self) -> int:
        """The largest id, living or not; 0 where there is none."""
        return int(self.ids[-1]) if self.ids.size else 0

    @property
    def dead(self) -> int:
        """The number of rows that are still there but must not be found."""
        return len(self.ids) - self.count

    @property
    def worn(self) -> bool:
        """Whether more rows are dead than live, so that they are better copied together."""
        return self.dead > WORN_SHARE * len(self.ids)

    def compacted(self) -> IdMap:
        """Return the living rows alone."""
        return IdMap(self.ids[self.alive], self.alive[self.alive])

    def extended(self, ids: NDArray[np.int64]) -> IdMap:
        """Return this with living rows `ids` at the end."""
        if ids.size and (ids[0] <= self.last or (np.diff(ids) <= 0).any()):
            raise UsageError(f"ids: expected whole numbers that ascend, all above {self.last}")
        return IdMap(np.concatenate((self.ids, ids)), np.concatenate((self.alive, np.ones(ids.size, bool))))

    def without(self, ids: ArrayLike) -> IdMap:
        """Return this with rows `ids` dead."""
        alive = self.alive.copy()
        alive[self._here(np.asarray(ids, dtype=np.int64))] = False
        return IdMap(self.ids, alive)

    def mask(self, allowed: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return (N,) bool: the rows that live and, where `allowed` is given, are in it."""
        if allowed is None:
            return self.alive
        mask = np.zeros(len(self.ids), dtype=np.bool_)
        mask[self._here(allowed)] = True
        return mask & self.alive

    def places(self, allowed: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Return the rows that `mask` tells, ascending; None where that is all of them."""
        return None if allowed is None and not self.dead else np.flatnonzero(self.mask(allowed))

    def _here(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of those of `ids` that are here."""
        places = np.searchsorted(self.ids, ids)
        present = places < len(self.ids)
        present[present] = self.ids[places[present]] == ids[present]
        return places[present]


def checked_rows(ids: ArrayLike, rows: ArrayLike, dimension: int) -> tuple[NDArray[np.int64], Vectors]:
    """Return ids (n,) int64 and rows (n, D) float32, or raise UsageError."""
    vectors = as_rows(rows, "rows")
    numbers = np.asarray(ids, dtype=np.int64)
    if vectors.shape[1] != dimension or numbers.shape != (len(vectors),):
        raise UsageError(
            f"got ids {numbers.shape} and rows {vectors.shape}; expected ids (n,) and rows (n, {dimension})"
        )
    return numbers, vectors


def checked_queries(queries: ArrayLike, k: int, dimension: int) -> Vectors:
    """Return queries (Q, D) float32, or raise UsageError."""
    vectors = as_rows(queries, "queries")
    if vectors.shape[1] != dimension:
        raise UsageError(f"queries: got shape {vectors.shape}; expected (Q, {dimension})")
    if k < 1:
        raise UsageError(f"k: got {k}; expected at least 1")
    return vectors


def padded_ranking(found: Found, k: int) -> Ranking:
    """Return a ranking (Q, k); what is missing is id −1 at score −inf.

    The callers bound k by the rows that there are: a number from outside never decides how much memory is taken.
    """
    ids, scores = found
    if ids.shape[1] < k:
        missing = ((0, 0), (0, k - ids.shape[1]))
        ids = np.pad(ids, missing, constant_values=-1)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return Ranking(ids, scores)
