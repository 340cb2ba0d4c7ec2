"""Metrics: the quality of a ranking, as pure functions of the ranks of the relevant images.

`ranks` (n,) are the ranks, from 0 and ascending, of the retrieved relevant images in the ranking after junk was
removed, as `relevant_ranks` returns them. `relevant` is the number of relevant images, None if all were retrieved;
missing ones lower every metric that depends on it. Each function returns a number in [0, 1] unless it says otherwise,
and raises UsageError for a query without relevant images: such a query is left out of a mean and does not count as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import check_whole
from kindred.errors import UsageError

__all__ = [
    "average_precision",
    "average_precision_at_k",
    "average_precision_at_r",
    "cmc",
    "intersection_over_union",
    "loc_score",
    "mean",
    "ndcg",
    "ns_score",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank",
    "relevant_ranks",
    "revisited_precision_at_k",
    "trapezoidal_average_precision",
]

Ranks = NDArray[np.int64]

GROUP = 4
"""UKBench has four images of every object."""


def relevant_ranks(order: ArrayLike, relevant: ArrayLike, *, junk: ArrayLike = ()) -> Ranks:
    """Return the ranks (n,) of `relevant` ids in `order` (K,), best first, as if `junk` ids were not in it.

    Negative ids are padding and are removed, too. A relevant id counts once, at its first rank, even if either list
    repeats it.

    >>> relevant_ranks([7, 3, 9, 4, 9], [9, 4, 4], junk=[3])
    array([1, 2])
    """
    ids = np.asarray(order, dtype=np.int64)
    kept = ids[(ids >= 0) & ~np.isin(ids, np.asarray(junk, dtype=np.int64))]
    places = np.flatnonzero(np.isin(kept, np.asarray(relevant, dtype=np.int64)))
    _, firsts = np.unique(kept[places], return_index=True)
    return places[np.sort(firsts)]


def average_precision(ranks: ArrayLike, relevant: int | None = None) -> float:
    """Return the plain average precision: the mean of the precision at the rank of each relevant image.

    >>> round(average_precision([0, 2, 5]), 6)
    0.722222
    """
    places, total = _checked(ranks, relevant)
    return float(_precision_at_each(places).sum()) / total


def average_precision_at_k(ranks: ArrayLike, k: int, relevant: int | None = None) -> float:
    """Return the plain average precision within the first `k` results; its mean is mAP@k (Weyand et al. 2020).

    The sum of the precisions at the relevant images among them, divided by the smaller of `k` and the number of
    relevant images. (trec_eval always divides by the number of relevant images.)
    """
    check_whole(k=k)
    places, total = _checked(ranks, relevant)
    return float(_precision_at_each(places)[places < k].sum()) / min(k, total)


def loc_score(ranks: ArrayLike, overlaps: ArrayLike, relevant: int | None = None) -> float:
    """Return the LocScore: the average precision in which each relevant image counts by how well it was localised.

    `overlaps` (n,), in [0, 1], are the intersection over union of the box of what matched in each retrieved relevant
    image with its labelled box (the best of several, `intersection_over_union`; the whole image is a box, too). Each
    relevant image contributes the precision at its rank times its overlap, and their sum is divided by the number of
    relevant images: it is the plain average precision where every overlap is 1, and never more. Source: Choi et al.
    2025 (arXiv 2512.12610), as summarised by others: precision at each true positive, weighted by its overlap.

    >>> round(loc_score([0, 2, 5], [1, 0.5, 0]), 6)
    0.444444
    """
    places, total = _checked(ranks, relevant)
    shares = np.asarray(overlaps, np.float64)
    if shares.shape != places.shape or not ((shares >= 0) & (shares <= 1)).all():
        raise UsageError(f"overlaps: got shape {shares.shape}; expected {places.shape}, each from 0 to 1")
    return float((_precision_at_each(places) * shares).sum()) / total


def intersection_over_union(box: Sequence[float], labelled: Sequence[Sequence[float]]) -> float:
    """Return the largest overlap of a box with the labelled ones, each x0, y0, x1, y1 in pixels; 0 if there are none.

    >>> intersection_over_union((0, 0, 4, 2), [(2, 0, 6, 2), (9, 9, 10, 10)])
    0.3333333333333333
    """
    own = np.asarray(box, np.float64)
    others = np.asarray(labelled, np.float64).reshape(-1, 4)
    edges = np.vstack([own[None], others])
    if own.shape != (4,) or not np.isfinite(edges).all() or (edges[:, :2] >= edges[:, 2:]).any():
        raise UsageError("boxes: expected finite x0 < x1 and y0 < y1")
    sides = np.minimum(own[2:], others[:, 2:]) - np.maximum(own[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    areas = (edges[:, 2:] - edges[:, :2]).prod(axis=1)
    return float((shared / (areas[0] + areas[1:] - shared)).max(initial=0.0))


def trapezoidal_average_precision(ranks: ArrayLike, relevant: int | None = None) -> float:
    """Return the average precision of Oxford5k, Paris6k and Holidays: the trapezoidal area under the PR curve.

    Each relevant image contributes the mean of the precisions just before it and at it (Philbin et al. 2007; Jégou,
    Douze and Schmid 2008). It is lower than the plain one unless all relevant images come first; the two are not
    comparable.

    >>> round(trapezoidal_average_precision([0, 2, 5]), 6)
    0.677778
    """
    places, total = _checked(ranks, relevant)
    before = np.where(places > 0, np.arange(len(places)) / np.maximum(places, 1), 1.0)
    return float((before + _precision_at_each(places)).sum()) / (2 * total)


def recall_at_k(ranks: ArrayLike, k: int) -> float:
    """Return 1 if any of the first `k` results is relevant, otherwise 0; its mean is recall@k in metric learning.

    (In information retrieval the same name means the fraction of the relevant images among the first k.)
    """
    check_whole(k=k)
    places, _ = _checked(ranks, None, may_be_empty=True)
    return float((places < k).any())


def precision_at_k(ranks: ArrayLike, k: int) -> float:
    """Return the fraction of relevant images among the first `k` results.

    A query with fewer than k relevant images cannot reach 1.
    """
    check_whole(k=k)
    places, _ = _checked(ranks, None, may_be_empty=True)
    return float(np.count_nonzero(places < k)) / k


def revisited_precision_at_k(ranks: ArrayLike, k: int) -> float:
    """Return the fraction of relevant images among the first `k`, as in mP@k (Radenović et al. 2018).

    If the last relevant image has a rank before k, the results after it do not count: a query with three relevant
    images can reach 1 for any k.
    """
    check_whole(k=k)
    places, _ = _checked(ranks, None, may_be_empty=True)
    if not places.size:
        return 0.0
    depth = min(int(places[-1]) + 1, k)
    return float(np.count_nonzero(places < depth)) / depth


def reciprocal_rank(ranks: ArrayLike) -> float:
    """Return 1 / rank, from 1, of the first relevant image, 0 if none was retrieved; its mean is MRR."""
    places, _ = _checked(ranks, None, may_be_empty=True)
    return 1.0 / (int(places[0]) + 1) if places.size else 0.0


def ndcg(ranks: ArrayLike, relevant: int | None = None, *, k: int | None = None) -> float:
    """Return the normalised discounted cumulative gain, of the first `k` results or of all (None).

    Gains are 1 or 0 (binary relevance), discounted by 1 / log₂(1 + rank), ranks from 1; the sum is divided by that of
    an ideal ranking. Source: Järvelin and Kekäläinen 2002, with the discount in common use.
    """
    places, total = _checked(ranks, relevant)
    if k is not None:
        check_whole(k=k)
        places, total = places[places < k], min(k, total)
    return float(_discounts(places).sum() / _discounts(np.arange(total)).sum())


def r_precision(ranks: ArrayLike, relevant: int | None = None) -> float:
    """Return the fraction of relevant images among the first R results, where R is the number of relevant images."""
    places, total = _checked(ranks, relevant)
    return float(np.count_nonzero(places < total)) / total


def average_precision_at_r(ranks: ArrayLike, relevant: int | None = None) -> float:
    """Return the average precision within the first R results; its mean is MAP@R (Musgrave et al. 2020).

    R is the number of relevant images; results after rank R do not count.
    """
    places, total = _checked(ranks, relevant)
    return float(_precision_at_each(places)[places < total].sum()) / total


def cmc(rankings: Iterable[ArrayLike], k: int) -> NDArray[np.float64]:
    """Return the cumulative match characteristic (k,): the fraction of queries with a relevant image by rank 1 … k.

    `rankings` are the ranks of each query. Element k − 1 is the mean recall@k.
    """
    check_whole(k=k)
    checked = [_checked(ranks, None, may_be_empty=True)[0] for ranks in rankings]
    if not checked:
        raise UsageError("rankings: got none; expected the ranks of at least one query")
    firsts = np.array([places[0] for places in checked if places.size and places[0] < k], dtype=np.int64)
    return np.cumsum(np.bincount(firsts, minlength=k)) / len(checked)


def ns_score(ranks: ArrayLike) -> float:
    """Return the number of relevant images among the first four, 0 to 4; its mean is N-S (Nistér and Stewénius 2006).

    On UKBench every image is a query and itself in the database, as one of its own four relevant images.
    """
    places, _ = _checked(ranks, None, may_be_empty=True)
    return float(np.count_nonzero(places < GROUP))


def mean(values: Iterable[float]) -> float:
    """Return the mean over queries. Raises UsageError if there are none."""
    collected: Sequence[float] = list(values)
    if not collected:
        raise UsageError("values: got none; expected at least one query that has relevant images")
    return float(np.mean(collected))


def _discounts(places: Ranks) -> NDArray[np.float64]:
    """Return the discount of each rank (n,)."""
    discounts: NDArray[np.float64] = 1 / np.log2(places + 2.0)
    return discounts


def _precision_at_each(places: Ranks) -> NDArray[np.float64]:
    """Return the precision (n,) at the rank of each relevant image that was retrieved."""
    return np.arange(1, len(places) + 1) / (places + 1)


def _checked(ranks: ArrayLike, relevant: int | None, *, may_be_empty: bool = False) -> tuple[Ranks, int]:
    """Return the ranks as an array and the number of relevant images, or raise UsageError."""
    places = np.asarray(ranks)
    if places.ndim != 1 or (places.size and not np.issubdtype(places.dtype, np.integer)):
        raise UsageError(f"ranks: got {places.dtype} {places.shape}; expected whole numbers (n,)")
    places = places.astype(np.int64)
    if places.size and (places[0] < 0 or (np.diff(places) <= 0).any()):
        raise UsageError("ranks: expected whole numbers from 0 that ascend, none twice")
    total = len(places) if relevant is None else relevant
    if total < len(places):
        raise UsageError(f"relevant: got {total}; expected at least the {len(places)} that have a rank")
    if total == 0 and not may_be_empty:
        raise UsageError("relevant: got 0; expected at least one relevant image (leave such a query out)")
    return places, total
