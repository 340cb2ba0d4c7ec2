"""Exact search: compares a query with every row, by BLAS, without FAISS, so that a short-lived process on a small
library starts fast."""

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
"""Rows per block, so that one block of scores takes 16 MB for any number of rows and queries."""


class ExactIndex:
    """All rows in memory as float32, compared block by block.

    Equal scores are ordered by id, lower first. `similarity` is a name from `SIMILARITIES`. One thread at a time may
    change the index; searches may run at the same time. Raises UsageError for an unknown similarity.
    """

    def __init__(self, dimension: int, *, similarity: str = "cosine") -> None:
        check_known("similarity", similarity, SIMILARITIES, error=UsageError)
        self.dimension = dimension
        self.similarity = similarity
        # Rows are L2-normalised once, so that their dot product is the cosine.
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
        """Size of the rows in bytes, without ids."""
        return self._rows.state[1].nbytes

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), in ascending order, all above the ids before."""
        numbers, vectors = checked_rows(ids, rows, self.dimension)
        self._rows.add(numbers, l2_normalise(vectors) if self._unit else vectors)

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        return self._rows.remove(ids)

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` rows for queries (Q, D); `allowed` restricts the search to those ids (n,)."""
        return padded_ranking(self.nearest(queries, k, allowed=allowed), min(k, len(self)))

    def scores(self, queries: ArrayLike) -> Vectors:
        """Return the scores (Q, N) of all rows, in order of id."""
        wanted = checked_queries(queries, 1, self.dimension)
        live, rows = self._rows.state
        scores = self._compare(l2_normalise(wanted) if self._unit else wanted, rows)
        return scores if not live.removed else scores[:, live.alive]

    def nearest(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Found:
        """Return the result of `search` as plain arrays, without padding."""
        wanted = checked_queries(queries, k, self.dimension)
        if self._unit:
            wanted = l2_normalise(wanted)
        live, rows = self._rows.state
        most, places = max(1, min(k, live.count)), live.places(allowed)
        found, scores = best_of_blocks(self._top, wanted, rows, most, places=places, size=BLOCK_ROWS)
        return live.ids[found], scores

    def _top(self, queries: Vectors, rows: Vectors, k: int) -> Found:
        return top_k(self._compare(queries, rows), k)
