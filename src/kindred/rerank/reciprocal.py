"""k-reciprocal re-ranking: two images are alike when their sets of mutual neighbours overlap (Zhong et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole, top_k
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.shortlist import answers, checked_queries, compose

__all__ = ["k_reciprocal"]

Matrix = NDArray[np.float32]
Places = NDArray[np.int64]


def k_reciprocal(
    ranking: Ranking, context: Context, *, k1: int = 20, k2: int = 6, weight: float = 0.3, depth: int = 1000
) -> Ranking:
    """Order the short list by (1 − weight)·Jaccard + weight·(1 − cosine), smallest first.

    The Jaccard distance is that between the sets of k-reciprocal neighbours of the query and of a candidate,
    fuzzy with exp(−(1 − cosine)), expanded by half sets and averaged over the `k2` nearest (the point itself
    among them). A neighbourhood holds the point and its `k1` nearest, in the set of the query and the first
    `depth` answers of the ranking: other images do not take part, and no more than depth × depth numbers are
    held. Answers further down follow in their order. Scores are 1 − the distance. With all images on the short
    list this is the paper's method, its distance being half the squared Euclidean one.
    Raises UsageError for a `weight` outside [0, 1].
    """
    check_whole(k1=k1, k2=k2, depth=depth)
    if not 0 <= weight <= 1:
        raise UsageError(f"weight: got {weight}; expected 0 (Jaccard alone) to 1 (the cosine alone)")
    heads = []
    for q, query in enumerate(checked_queries(ranking, context)):
        ids = answers(ranking, q, limit=depth)
        points = np.concatenate((query[None], context.gallery.fetch(ids) if ids.size else query[None][:0]))
        similarities = points @ points.T
        jaccard = _jaccard(similarities, k1, k2)
        distances = (1 - weight) * jaccard[1:] + weight * (1 - similarities[0, 1:])
        order, scores = top_k((1 - distances)[None], max(1, len(ids)))
        heads.append((ids[order[0]], scores[0]))
    return compose(ranking, heads)


def _jaccard(similarities: Matrix, k1: int, k2: int) -> Matrix:
    """Return the Jaccard distances (n,) between point 0 and all points, from their cosines (n, n)."""
    own = np.arange(len(similarities))
    ranked = similarities.copy()
    ranked[own, own] = np.inf  # or a copy of a point could take its place in its own neighbourhood
    nearest, _ = top_k(ranked, max(k1 + 1, k2))
    members = _expanded_sets(nearest, k1)
    distances = 1 - similarities
    distances[own, own] = 0
    fuzzy = np.where(members, np.exp(-distances), 0).astype(np.float32)
    averaged: Matrix = np.zeros_like(fuzzy)
    for neighbours in nearest[:, :k2].T:
        averaged += fuzzy[neighbours]
    averaged /= min(k2, nearest.shape[1])
    shared = np.flatnonzero(averaged[0])  # the minimum is 0 elsewhere
    smaller = np.minimum(averaged[0, shared], averaged[:, shared]).sum(axis=1)
    larger = averaged.sum(axis=1) + averaged[0].sum() - smaller
    jaccard: Matrix = 1 - smaller / larger
    return jaccard


def _expanded_sets(nearest: Places, k1: int) -> NDArray[np.bool_]:
    """Return (n, n) bool: row i is R*(i), the k-reciprocal neighbours of i and the half sets that overlap them."""
    whole = _reciprocal(nearest[:, : k1 + 1])
    halves = nearest[:, : _half(k1) + 1]
    in_half = np.take_along_axis(_reciprocal(halves), halves, axis=1)
    points, candidates = np.nonzero(whole)
    members = halves[candidates]  # (pairs, half): the candidates' half sets, where `counted`
    counted = in_half[candidates]
    shared = (whole[points[:, None], members] & counted).sum(axis=1)
    joins = 3 * shared >= 2 * counted.sum(axis=1)  # at least two thirds of it
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
