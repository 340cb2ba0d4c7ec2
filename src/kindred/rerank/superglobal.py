"""SuperGlobal's re-ranking: candidates and query are refined by their neighbours among the candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole, top_k
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.shortlist import checked_queries, compose, default_count, result_ids

__all__ = ["superglobal"]


def superglobal(ranking: Ranking, context: Context, *, k: int = 0, beta: float = 0.15, depth: int = 400) -> Ranking:
    """Order the first `depth` results by the mean of two similarities of refined vectors.

    A candidate becomes d' = (d + beta Σ (d·d_i) d_i) / (1 + beta Σ d·d_i) over its `k` nearest others among the
    candidates, and is compared with the query, s1 = q·d'. The refined query is the largest value, component by
    component, of the best candidate by s1 and the `k` that follow it; s2 is its product with d'. The score is
    (s1 + s2) / 2. The other results follow in their order. A `k` of 0 is replaced by 9, or fewer in a small gallery.
    Raises UsageError for options out of range. Source: Shao et al. 2023, with k = 9 and depth = 400.
    """
    check_whole(depth=depth)
    check_positive(beta=beta)
    k = default_count(k, context.gallery, name="k", least=1, most=9)
    reranked = []
    for q, query in enumerate(checked_queries(ranking, context)):
        ids = result_ids(ranking, q, limit=depth)
        if not ids.size:
            reranked.append((ids, np.empty(0, np.float32)))
            continue
        refined = _refined(context.gallery.fetch(ids), k, beta)
        first = refined @ query
        expanded = refined[_best(first, k + 1)].max(axis=0)
        scores = (first + refined @ expanded) / 2
        order = _best(scores, len(ids))
        reranked.append((ids[order], scores[order]))
    return compose(ranking, reranked)


def _refined(rows: Vectors, k: int, beta: float) -> Vectors:
    """Return the rows (n, D), each averaged with its `k` nearest others; opposite ones weigh nothing."""
    if len(rows) == 1:
        return rows
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -np.inf)  # a copy must not take the place of the row itself
    places, cosines = top_k(similarities, min(k, len(rows) - 1))
    weights = beta * np.maximum(cosines, 0)
    total = rows.copy()
    for weight, neighbours in zip(weights.T, places.T, strict=True):
        total += weight[:, None] * rows[neighbours]
    refined: Vectors = total / (1 + weights.sum(axis=1, keepdims=True))
    return refined


def _best(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` largest scores, best first; equal ones stay in order."""
    places: NDArray[np.int64] = top_k(scores[None], min(count, len(scores)))[0][0]
    return places
