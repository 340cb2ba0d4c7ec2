"""The best of many rows, compared block by block: memory is bounded by the scores of one block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, top_k

__all__ = ["best_of_blocks"]

Results: TypeAlias = tuple[NDArray[np.int64], Vectors]
"""Positions (Q, n) and scores (Q, n), best first."""

RowsT = TypeVar("RowsT", NDArray[np.float32], NDArray[np.uint8])
Compare: TypeAlias = Callable[[Vectors, RowsT, int], Results]
"""Queries (Q, D), a block of rows (m, …) and k → positions in the block and scores (Q, min(k, m)), best first."""

BLOCK_QUERIES = 256


def best_of_blocks(
    compare: Compare[RowsT], queries: Vectors, rows: RowsT, k: int, *, places: NDArray[np.int64] | None, size: int
) -> Results:
    """Return the positions and scores (Q, n ≤ k) of the best rows for queries (Q, D), `size` rows at a time.

    `places`: the positions of the rows to search, ascending; None for all. Equal scores are ordered by position if
    `compare` orders them so.
    """
    parts = [
        _best(compare, queries[start : start + BLOCK_QUERIES], rows, k, places, size)
        for start in range(0, max(1, len(queries)), BLOCK_QUERIES)
    ]
    found, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return found, scores


def _best(
    compare: Compare[RowsT], queries: Vectors, rows: RowsT, k: int, places: NDArray[np.int64] | None, size: int
) -> Results:
    best = np.empty((len(queries), 0), np.int64)
    best_scores = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(rows) if places is None else len(places), size):
        if places is None:
            block = rows[start : start + size]
            at = np.arange(start, start + len(block))
        else:
            at = places[start : start + size]
            block = rows[at]
        found, scores = compare(queries, block, k)
        if start == 0:
            best, best_scores = at[found], scores
            continue
        # Earlier rows come first, so that equal scores stay in the order of their positions.
        candidates = np.concatenate((best, at[found]), axis=1)
        order, best_scores = top_k(np.concatenate((best_scores, scores), axis=1), k)
        best = np.take_along_axis(candidates, order, axis=1)
    return best, best_scores
