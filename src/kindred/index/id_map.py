"""Shared by all indexes: the ids of their rows, which rows are live or removed, and input validation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.ranking import Ranking

__all__ = ["REMOVED_SHARE", "Found", "IdMap", "checked_queries", "checked_rows", "padded_ranking"]

Found = tuple[NDArray[np.int64], Vectors]
"""ids (Q, n) and scores (Q, n), best first; n < k if fewer rows are allowed."""


REMOVED_SHARE = 0.5
"""Fraction of removed rows above which the live rows are copied together."""


@dataclass(frozen=True, eq=False)
class IdMap:
    """The ids of rows 0 … N − 1 and which rows are live. Immutable, so that searches need no lock.

    ids: (N,) int64, ascending: SQLite assigns ids in ascending order and never reuses one, and an id is found in an
    ascending array by binary search, without a dictionary. alive: (N,) bool, False for removed rows.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    alive: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", int(np.count_nonzero(self.alive)))

    @property
    def last(self) -> int:
        """The largest id, live or removed; 0 if there are no rows."""
        return int(self.ids[-1]) if self.ids.size else 0

    @property
    def removed(self) -> int:
        """The number of removed rows that still take space."""
        return len(self.ids) - self.count

    @property
    def needs_compaction(self) -> bool:
        """Whether more rows are removed than live, so that the live rows should be copied together."""
        return self.removed > REMOVED_SHARE * len(self.ids)

    def compacted(self) -> IdMap:
        """Return a map of the live rows only."""
        return IdMap(self.ids[self.alive], self.alive[self.alive])

    def extended(self, ids: NDArray[np.int64]) -> IdMap:
        """Return a map with live rows `ids` appended; raises UsageError unless they ascend, above all ids before."""
        if ids.size and (ids[0] <= self.last or (np.diff(ids) <= 0).any()):
            raise UsageError(f"ids: expected whole numbers in ascending order, all above {self.last}")
        return IdMap(np.concatenate((self.ids, ids)), np.concatenate((self.alive, np.ones(ids.size, bool))))

    def without(self, ids: ArrayLike) -> IdMap:
        """Return a map with rows `ids` marked as removed."""
        alive = self.alive.copy()
        alive[self._places_of(np.asarray(ids, dtype=np.int64))] = False
        return IdMap(self.ids, alive)

    def mask(self, allowed: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return a mask (N,) of the rows that are live and, if `allowed` is given, whose ids are in it."""
        if allowed is None:
            return self.alive
        mask = np.zeros(len(self.ids), dtype=np.bool_)
        mask[self._places_of(allowed)] = True
        return mask & self.alive

    def places(self, allowed: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Return the row numbers selected by `mask`, ascending; None for all rows."""
        return None if allowed is None and not self.removed else np.flatnonzero(self.mask(allowed))

    def _places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row numbers of `ids`; unknown ids are ignored."""
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
    """Return a ranking (Q, k), padded with id −1 and score −inf.

    Callers bound k by the number of rows, so that a value from outside never determines how much memory is used.
    """
    ids, scores = found
    if ids.shape[1] < k:
        missing = ((0, 0), (0, k - ids.shape[1]))
        ids = np.pad(ids, missing, constant_values=-1)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return Ranking(ids, scores)
