"""Query expansion and database augmentation: a vector is replaced by a mean of itself and its neighbours.

`aqe` and `alpha_qe` add the best results to the query and search again. `dba` augments the candidates as well;
`augment` augments a whole database, to be indexed. Weights are never negative. A query that is itself in the database
is not used as one of its own results. An `n` of 0 is replaced by a default that suits the
size of the gallery: with more neighbours than there are images of one object, the others draw the vector away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole, l2_normalise, top_k
from kindred.ranking import Ranking
from kindred.rerank.context import Context, Gallery
from kindred.rerank.shortlist import Reranked, checked_queries, compose, default_count, result_ids

__all__ = ["alpha_qe", "aqe", "augment", "dba"]

Weights = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Similarities (…, n) of the neighbours, best first → their weights (…, n)."""

SAME = 1 - 1e-5
"""A result with at least this cosine is the query itself, up to rounding."""
BLOCK = 512
"""Rows augmented at a time: 80 MB for 20 neighbours of 2,048 components."""


def aqe(ranking: Ranking, context: Context, *, n: int = 0) -> Ranking:
    """Search again with q' = l2(q + Σ d), d the `n` best results (average query expansion).

    The results are those of the ranking, so that re-rankers can be chained. A query without results still has none.
    Source: Chum et al. 2007, with n = 10.
    """
    n = _expansion(n, context.gallery)
    return _search_again(ranking, context, n, _equal)


def alpha_qe(ranking: Ranking, context: Context, *, n: int = 0, alpha: float = 3.0) -> Ranking:
    """Search again with q' = l2(q + Σ max(q·d, 0)^alpha d), d the `n` best results (αQE).

    The larger `alpha`, the less weight have distant results. Source: Radenović, Tolias and Chum 2018, with n = 50.
    """
    n = _expansion(n, context.gallery)
    check_positive(alpha=alpha)
    return _search_again(ranking, context, n, _power(alpha))


def dba(ranking: Ranking, context: Context, *, n: int = 0, alpha: float | None = None, depth: int = 1000) -> Ranking:
    """Compare the expanded query with the augmented candidates (database-side augmentation on the short list).

    Candidates are augmented as in `augment`, the query by the same sum over its own best results. The first `depth`
    results are re-ranked by the cosine of the two; the others follow in their order. Source: Arandjelović and
    Zisserman 2012; the weights are those of Gordo et al. 2017.
    """
    check_whole(depth=depth)
    n = _augmentation(n, context.gallery)
    weigh = _linear_or_power(n, alpha)
    queries = _expanded(ranking, context, n, weigh)
    short = [result_ids(ranking, q, limit=depth) for q in range(len(ranking))]
    similarities = [np.empty(len(ids), dtype=np.float32) for ids in short]
    wanted = np.unique(np.concatenate([*short, np.empty(0, dtype=np.int64)]))
    for start in range(0, len(wanted), BLOCK):
        # Each candidate is augmented once for all queries, and only one block is in memory.
        block = wanted[start : start + BLOCK]
        scores = queries @ _augmented(context.gallery, block, context.gallery.fetch(block), n, weigh).T
        for q, ids in enumerate(short):
            here = (ids >= block[0]) & (ids <= block[-1])
            similarities[q][here] = scores[q, np.searchsorted(block, ids[here])]
    return compose(ranking, [_ordered(ids, scores) for ids, scores in zip(short, similarities, strict=True)])


def augment(gallery: Gallery, *, n: int = 0, alpha: float | None = None) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """Yield all vectors of a gallery augmented by their neighbours, as (ids (m,), unit rows (m, D)), ids ascending.

    d' = l2(d + Σ_i w_i d_i) over the `n` nearest others, i = 1 … n. Without `alpha` the weights are
    w_i = (n − i) / n (Gordo et al. 2017), with it max(d·d_i, 0)^alpha; an alpha of 0 gives equal weights (Arandjelović
    and Zisserman 2012). Search the result with queries expanded in the same way. Raises UsageError for `n` or `alpha`
    out of range.
    """
    n = _augmentation(n, gallery)
    weigh = _linear_or_power(n, alpha)
    return (
        (
            ids[start : start + BLOCK],
            _augmented(gallery, ids[start : start + BLOCK], rows[start : start + BLOCK], n, weigh),
        )
        for ids, rows in gallery.blocks()
        for start in range(0, len(ids), BLOCK)
    )


def _expansion(n: int, gallery: Gallery) -> int:
    """Return by how many results a query is expanded: `n`, or 1 to 3 by the size of the gallery if it is 0.

    The papers take 10 and 50, for sets with as many images of a building. On the 200 images of gardens-point
    (`kin-plain`) 50 take recall@1 from 0.875 to 0.265; up to 3 lower neither recall@1 nor mAP of `kin` by more than
    0.01 on any of the three development sets with αQE, and grocery gains 0.02.
    """
    return default_count(n, gallery, name="n", least=1, most=3)


def _augmentation(n: int, gallery: Gallery) -> int:
    """Return how many neighbours augment an image: `n`, or 2 to 20 by the size of the gallery if it is 0.

    The weight of the last neighbour is 0, so 2 add one. On the 100 images of smvs-dvd, where no two show the same,
    20 take recall@1 of `kin` from 0.360 to 0.150; on the 2,936 of grocery they raise mAP from 0.317 to 0.417.
    """
    return default_count(n, gallery, name="n", least=2, most=20)


def _search_again(ranking: Ranking, context: Context, n: int, weigh: Weights) -> Ranking:
    """Search with the expanded queries, for as many results as the ranking is wide."""
    queries = _expanded(ranking, context, n, weigh)
    found_any = np.flatnonzero((ranking.ids >= 0).any(axis=1))
    if not found_any.size:
        return ranking
    found = context.gallery.search(queries[found_any], ranking.ids.shape[1])
    ids = np.full(ranking.ids.shape, -1, dtype=np.int64)
    scores = np.full(ranking.scores.shape, -np.inf, dtype=np.float32)
    width = found.ids.shape[1]  # the gallery may have fewer images than the ranking is wide
    ids[found_any, :width], scores[found_any, :width] = found.ids, found.scores
    return Ranking(ids, scores)


def _expanded(ranking: Ranking, context: Context, n: int, weigh: Weights) -> Vectors:
    """Return the queries (Q, D), each with the weighted sum of its `n` best results added, as unit vectors."""
    queries = checked_queries(ranking, context).copy()
    for q, query in enumerate(queries):
        ids = result_ids(ranking, q, limit=n + 1)
        if not ids.size:
            continue
        rows = context.gallery.fetch(ids)
        rows = rows[rows @ query < SAME][:n]
        query += weigh(rows @ query) @ rows
    return l2_normalise(queries)


def _augmented(gallery: Gallery, ids: NDArray[np.int64], rows: Vectors, n: int, weigh: Weights) -> Vectors:
    """Return the augmented unit vectors (m, D) of `ids` (m,), whose vectors are `rows`."""
    found = gallery.search(rows, n + 1).ids
    # The image itself is moved to the end and dropped; among equal vectors it may be missing.
    order = np.argsort(found == ids[:, None], axis=1, kind="stable")[:, :n]
    found = np.take_along_axis(found, order, axis=1)
    present = (found >= 0) & (found != ids[:, None])
    known, places = np.unique(np.where(present, found, ids[:, None]), return_inverse=True)
    neighbours = gallery.fetch(known)[places.reshape(found.shape)]
    weights = weigh(np.einsum("md,mnd->mn", rows, neighbours)) * present
    return l2_normalise(rows + np.einsum("mn,mnd->md", weights, neighbours))


def _ordered(ids: NDArray[np.int64], scores: NDArray[np.float32]) -> Reranked:
    """Return both by decreasing score; equal scores stay in order."""
    order, best = top_k(scores[None], max(1, len(ids)))
    return ids[order[0]], best[0]


def _equal(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ones_like(similarities)


def _power(alpha: float) -> Weights:
    # Clipped first: an odd power of a negative similarity would subtract, an even one add a dissimilar vector.
    return lambda similarities: np.maximum(similarities, 0) ** np.float32(alpha)


def _linear_or_power(n: int, alpha: float | None) -> Weights:
    if alpha is not None:
        if alpha != 0:
            check_positive(alpha=alpha)
        return _power(alpha)

    def linear(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
        places = np.arange(1, min(n, similarities.shape[-1]) + 1)
        return np.broadcast_to(((n - places) / n).astype(np.float32), similarities.shape)

    return linear
