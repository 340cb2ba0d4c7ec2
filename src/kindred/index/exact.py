"""Exact search: a query is compared with every row, by BLAS. It needs no FAISS, so a short-lived process on a
small library starts at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, l2_normalise, top_k
from kindred.blocks import best_of_blocks
from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.index.id_map import Found, IdMap, checked_queries, checked_rows, padded_ranking
from kindred.index.rows import LiveRows
from kindred.ranking import Ranking
from kindred.similarity import SIMILARITIES

__all__ = ["ExactIndex"]

BLOCK_ROWS = 16_384
"""One block of scores takes 16 MB, whatever the number of rows and queries."""


class ExactIndex:
    """All rows in memory as float32, compared one block after another.

    Equal scores are ordered by id, lower first. `similarity` is a name from `SIMILARITIES`. One thread at a
    time may change the index; searches may run beside that.
    """

    def __init__(self, dimension: int, *, similarity: str = "cosine") -> None:
        check_known("similarity", similarity, SIMILARITIES, error=UsageError)
        self.dimension = dimension
        self.similarity = similarity
        # Rows made unit vectors once need no norm at every search; their dot product is the cosine.
        self._unit = similarity == "cosine"
        self._compare = SIMILARITIES["dot" if self._unit else similarity]
        self._rows: LiveRows[np.float32] = LiveRows(dimension, np.float32)

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        return self.live.count

    @property
    def live(self) -> IdMap:
        """The ids of the rows."""
        return self._rows.state[0]

    @property
    def nbytes(self) -> int:
        """The bytes that the rows take."""
        return self._rows.state[1].nbytes

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before."""
        numbers, vectors = checked_rows(ids, rows, self.dimension)
        self._rows.add(numbers, l2_normalise(vectors) if self._unit else vectors)

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        return self._rows.remove(ids)

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` for queries (Q, D), among the ids in `allowed` only if that is given."""
        return padded_ranking(self.nearest(queries, k, allowed=allowed), min(k, len(self)))

    def scores(self, queries: ArrayLike) -> Vectors:
        """Return the scores (Q, N) of all rows that can be found, in order of id."""
        wanted = checked_queries(queries, 1, self.dimension)
        live, rows = self._rows.state
        scores = self._compare(l2_normalise(wanted) if self._unit else wanted, rows)
        return scores if not live.dead else scores[:, live.alive]

    def nearest(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Found:
        """Return what `search` does as plain arrays, without padding."""
        wanted = checked_queries(queries, k, self.dimension)
        if self._unit:
            wanted = l2_normalise(wanted)
        live, rows = self._rows.state
        most, places = max(1, min(k, live.count)), live.places(allowed)
        found, scores = best_of_blocks(self._top, wanted, rows, most, places=places, size=BLOCK_ROWS)
        return live.ids[found], scores

    def _top(self, queries: Vectors, rows: Vectors, k: int) -> Found:
        return top_k(self._compare(queries, rows), k)
