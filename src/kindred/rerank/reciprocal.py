"""k-reciprocal re-ranking: two images are similar if their k-reciprocal neighbours overlap (Zhong et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole, top_k
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.shortlist import checked_queries, compose, default_count, result_ids

__all__ = ["k_reciprocal"]

Matrix = NDArray[np.float32]
Places = NDArray[np.int64]


def k_reciprocal(
    ranking: Ranking, context: Context, *, k1: int = 0, k2: int = 0, weight: float = 0.3, depth: int = 1000
) -> Ranking:
    """Order the short list by (1 − weight)·Jaccard + weight·(1 − cosine), smallest first.

    The Jaccard distance is that between the sets of k-reciprocal neighbours of the query and of a candidate, with
    fuzzy memberships exp(−(1 − cosine)), expanded by half sets (`k1` / 2) and averaged over the `k2` nearest
    (including the point itself). A neighbourhood consists of the point and its `k1` nearest among the query and the
    first `depth` results of the ranking: no other images are used, and memory is depth × depth numbers. The result
    depends on which images are on the short list, not on their order; results further down stay in order. Scores are
    1 − distance. With all images on the short list this is the paper's method, with half the squared Euclidean
    distance. The authors' code also divides the squared distances of each image by their maximum, which the paper does
    not mention: their weight (λ) is not comparable. A `k1` of 0 is replaced by the paper's 20, or fewer in a small
    gallery (a fortieth of it, at least 3), a `k2` of 0 by three tenths of `k1`. Raises UsageError for options out of
    range.
    """
    check_whole(depth=depth)
    k1 = default_count(k1, context.gallery, name="k1", least=3, most=20)
    k2 = k2 or max(1, 3 * k1 // 10)
    check_whole(k2=k2)
    if not 0 <= weight <= 1:
        raise UsageError(f"weight: got {weight}; expected 0 (Jaccard alone) to 1 (the cosine alone)")
    reranked = []
    for q, query in enumerate(checked_queries(ranking, context)):
        ids = result_ids(ranking, q, limit=depth)
        points = np.concatenate((query[None], context.gallery.fetch(ids) if ids.size else query[None][:0]))
        similarities = points @ points.T
        jaccard = _jaccard(similarities, k1, k2)
        distances = (1 - weight) * jaccard[1:] + weight * (1 - similarities[0, 1:])
        order, scores = top_k((1 - distances)[None], max(1, len(ids)))
        reranked.append((ids[order[0]], scores[0]))
    return compose(ranking, reranked)


def _jaccard(similarities: Matrix, k1: int, k2: int) -> Matrix:
    """Return the Jaccard distances (n,) between point 0 and all points, from their cosines (n, n)."""
    own = np.arange(len(similarities))
    ranked = similarities.copy()
    ranked[own, own] = np.inf  # otherwise a duplicate could replace a point in its own neighbourhood
    nearest = _neighbourhoods(ranked, max(k1 + 1, k2))
    points, members = np.nonzero(_expanded_sets(nearest, k1))
    degrees = np.where(points == members, 1, np.exp(similarities[points, members] - 1)).astype(np.float32)
    # The minimum of two degrees is 0 outside the query's own set: only these columns are needed.
    local = nearest[:, :k2]
    shared = np.unique(members[np.isin(points, local[0])])
    inside = np.isin(members, shared)
    fuzzy = np.zeros((len(own), len(shared)), dtype=np.float32)
    fuzzy[points[inside], np.searchsorted(shared, members[inside])] = degrees[inside]
    averaged = _mean_of(fuzzy, local)
    sums = _mean_of(np.bincount(points, degrees, minlength=len(own)).astype(np.float32), local)
    smaller = np.minimum(averaged[0], averaged).sum(axis=1)
    jaccard: Matrix = 1 - smaller / (sums + sums[0] - smaller)
    return jaccard


def _neighbourhoods(similarities: Matrix, k: int) -> Places:
    """Return the `k` nearest points (n, min(k, n)) of each, best first, ties by index: `top_k` for short rows."""
    count = len(similarities)
    k = min(k, count)
    least = np.partition(similarities, count - k, axis=1)[:, count - k, None]
    chosen = similarities >= least
    if np.count_nonzero(chosen) > k * count:  # of those that equal the last one, only the first
        last = similarities == least
        spare = k - np.count_nonzero(chosen & ~last, axis=1)[:, None]
        chosen &= ~last | (np.cumsum(last, axis=1) <= spare)
    nearest = np.nonzero(chosen)[1].reshape(count, k)
    order = np.argsort(-np.take_along_axis(similarities, nearest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(nearest, order, axis=1)


def _mean_of(values: Matrix, local: Places) -> Matrix:
    """Return for each point the mean of the values (n, …) of its nearest (n, k2)."""
    total = np.zeros_like(values)
    for neighbours in local.T:
        total += values[neighbours]
    mean: Matrix = total / np.float32(local.shape[1])
    return mean


def _expanded_sets(nearest: Places, k1: int) -> NDArray[np.bool_]:
    """Return (n, n) bool: row i is R*(i), the k-reciprocal neighbours of i with the half sets that overlap them."""
    whole = _reciprocal(nearest[:, : k1 + 1])
    halves = nearest[:, : _half(k1) + 1]
    in_half = np.take_along_axis(_reciprocal(halves), halves, axis=1)
    points, candidates = np.nonzero(whole)
    members = halves[candidates]  # (pairs, half): the candidates' half sets, where `counted`
    counted = in_half[candidates]
    shared = (whole[points[:, None], members] & counted).sum(axis=1)
    joins = 3 * shared >= 2 * counted.sum(axis=1)  # an overlap of at least two thirds
    expanded = whole.copy()
    rows = np.repeat(points[joins], counted[joins].sum(axis=1))
    expanded[rows, members[joins][counted[joins]]] = True
    return expanded


def _reciprocal(nearest: Places) -> NDArray[np.bool_]:
    """Return (n, n) bool: which points are each in the neighbourhood (n, k) of the other."""
    near = np.zeros((len(nearest), len(nearest)), dtype=np.bool_)
    np.put_along_axis(near, nearest, True, axis=1)
    return near & near.T


def _half(k: int) -> int:
    return max(1, round(k / 2))
