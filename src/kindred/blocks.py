"""The best of many rows, compared one block after another, so that no more scores are held than a block has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, top_k

__all__ = ["best_of_blocks"]

Found: TypeAlias = tuple[NDArray[np.int64], Vectors]
"""Places (Q, n) and scores (Q, n), best first."""

Kept = TypeVar("Kept", NDArray[np.float32], NDArray[np.uint8])
Compare: TypeAlias = Callable[[Vectors, Kept, int], Found]
"""Queries (Q, D), some rows (m, …) and k → places among these and scores (Q, min(k, m)), best first."""

BLOCK_QUERIES = 256


def best_of_blocks(
    compare: Compare[Kept], queries: Vectors, rows: Kept, k: int, *, places: NDArray[np.int64] | None, size: int
) -> Found:
    """Return the places and scores (Q, n ≤ k) of the best rows for queries (Q, D), `size` rows compared at a time.

    `places` (ascending) are the rows that may answer, None for all. Equal scores are ordered by place, if `compare`
    orders them so.
    """
    parts = [
        _best(compare, queries[start : start + BLOCK_QUERIES], rows, k, places, size)
        for start in range(0, max(1, len(queries)), BLOCK_QUERIES)
    ]
    found, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return found, scores


def _best(
    compare: Compare[Kept], queries: Vectors, rows: Kept, k: int, places: NDArray[np.int64] | None, size: int
) -> Found:
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
        # Earlier rows stay in front, so that equal scores keep the order of their places.
        candidates = np.concatenate((best, at[found]), axis=1)
        order, best_scores = top_k(np.concatenate((best_scores, scores), axis=1), k)
        best = np.take_along_axis(candidates, order, axis=1)
    return best, best_scores
