"""Search by compact codes: only the codes are in memory; the best by code may be rescored by their vectors.

In a library, a `SyncedIndex` keeps it in step with the store, which holds the vectors themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, l2_normalise, top_k
from kindred.blocks import best_of_blocks
from kindred.codes import Code
from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.index.id_map import Found, IdMap, checked_queries, checked_rows, padded_ranking
from kindred.index.rows import LiveRows
from kindred.ranking import Ranking

__all__ = ["CODED_SIMILARITIES", "CodedIndex", "Fetch"]

CODED_SIMILARITIES = ("cosine", "dot")
DEPTH = 10
"""For k results, this many times k candidates are rescored by their vectors."""
BLOCK_CODES = 1 << 18

Fetch: TypeAlias = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], Vectors]]
"""Takes ids (n,), returns those that exist and their vectors, in the same order, as `Store.fetch` does."""


class CodedIndex:
    """The codes of all rows in memory, each of `code.bytes_per_vector` bytes, compared block by block.

    similarity: "cosine" or "dot"; for "cosine" rows and queries are L2-normalised. rescore: fetches vectors, by which
    the best by code are rescored exactly; without it scores are those of `Code.search`. One thread at a time may
    change the index; searches may run at the same time. Raises UsageError for another similarity.
    """

    def __init__(self, code: Code, *, similarity: str = "cosine", rescore: Fetch | None = None) -> None:
        check_known("similarity", similarity, CODED_SIMILARITIES, error=UsageError, where="an index of codes")
        self.code = code
        self.similarity = similarity
        self._fetch = rescore
        self._codes: LiveRows[np.uint8] = LiveRows(code.bytes_per_vector, np.uint8)

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        return self.live.count

    @property
    def live(self) -> IdMap:
        """The ids of the rows."""
        return self._codes.state[0]

    @property
    def nbytes(self) -> int:
        """Size of the codes in bytes, without ids."""
        return self._codes.state[1].nbytes

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add the codes of rows (n, D) under ids (n,), in ascending order, all above the ids before."""
        numbers, vectors = checked_rows(ids, rows, self.code.dimension)
        self._codes.add(numbers, self.code.encode(self._normalised(vectors)))

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        return self._codes.remove(ids)

    def search(
        self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None, depth: int | None = None
    ) -> Ranking:
        """Return the best `k` rows for queries (Q, D); `allowed` restricts the search to those ids (n,).

        depth: how many of the best by code are rescored by their vectors, at least `k`; 10 · `k` by default.
        """
        wanted = self._normalised(checked_queries(queries, k, self.code.dimension))
        live, codes = self._codes.state
        k = max(1, min(k, live.count))
        deep = k if self._fetch is None else min(live.count, max(k, DEPTH * k if depth is None else depth))
        places = live.places(allowed)
        found, scores = best_of_blocks(self.code.search, wanted, codes, max(1, deep), places=places, size=BLOCK_CODES)
        ids = live.ids[found]
        if self._fetch is not None and ids.size:
            ids, scores = _rescored(wanted, ids, k, self._fetch, unit=self.similarity == "cosine")
        return padded_ranking((ids, scores), min(k, live.count))

    def scores(self, queries: ArrayLike) -> Vectors:
        """Return the scores (Q, N) by code of all rows, in order of id."""
        wanted = self._normalised(checked_queries(queries, 1, self.code.dimension))
        live, codes = self._codes.state
        places, found = self.code.search(wanted, codes, max(1, len(codes)))
        scores = np.empty((len(wanted), len(codes)), np.float32)
        np.put_along_axis(scores, places, found, axis=1)
        return scores if not live.removed else scores[:, live.alive]

    def _normalised(self, rows: Vectors) -> Vectors:
        unit: Vectors = l2_normalise(rows) if self.similarity == "cosine" else rows
        return unit


def _rescored(queries: Vectors, ids: NDArray[np.int64], k: int, fetch: Fetch, *, unit: bool) -> Found:
    """Return the best `k` of ids (Q, n) by the dot product of their vectors; deleted ids come last, as −1."""
    found = np.full((len(ids), min(k, ids.shape[1])), -1, np.int64)
    scores = np.full(found.shape, -np.inf, np.float32)
    for row, (query, candidates) in enumerate(zip(queries, ids, strict=True)):
        present, vectors = fetch(np.sort(candidates))  # equal scores are ordered by id
        exact = (l2_normalise(vectors) if unit else vectors) @ query
        order, best = top_k(exact[None], k)
        found[row, : order.shape[1]], scores[row, : order.shape[1]] = present[order[0]], best[0]
    return found, scores
