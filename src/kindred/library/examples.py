"""Searching with several examples, each wanted or not, and again with answers that were marked as right or wrong.

The descriptors of examples are added with their weights. Marked answers move the result (Rocchio 1971) by the weights
of Salton and Buckley 1990, and each right one is searched for as well, with its own local features. Where results have
a probability, one that probably shows the same thing as a wrong answer loses its own in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.images import ImageLike
from kindred.library.query import DescribedQuery
from kindred.ranking import Ranking
from kindred.store import Box, Filter, Store

if TYPE_CHECKING:
    from kindred.library.searching import Searcher

__all__ = [
    "MOST_EXAMPLES",
    "MOST_FURTHER",
    "RIGHT_WEIGHT",
    "WRONG_WEIGHT",
    "Example",
    "added",
    "doubted",
    "image_numbers",
    "marked",
    "moved_apart",
    "rocchio",
]

RIGHT_WEIGHT, WRONG_WEIGHT = 0.75, 0.25
"""Weights of the means of right and of wrong answers, relative to the query (Salton and Buckley 1990)."""

MOST_EXAMPLES = 50
MOST_FURTHER = 8
"""Right, and wrong, answers that are searched for one by one: the latest ones; all of them move the query."""

SMALLEST = 1e-4
"""The least length of a sum of unit vectors that still has a direction."""


@dataclass(frozen=True, eq=False)
class Example:
    """One of several examples of a search: an image, the id of an image of the library, or a vector (D,).

    weight: from −1 to 1, not 0; images that resemble an example of negative weight rank lower. box: the part of the
    image that counts, x0 y0 x1 y1 in pixels of the upright image. Raises UsageError for other weights.
    """

    query: ImageLike | Vectors
    weight: float = 1.0
    box: Box | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.weight, Real) and not isinstance(self.weight, bool)
        if not number or not isfinite(self.weight) or not 0 < abs(self.weight) <= 1:
            raise UsageError(f"weight is {self.weight!r:.50}; expected a number from -1 to 1, and not 0")


def added(queries: Sequence[DescribedQuery], weights: Sequence[float]) -> DescribedQuery:
    """Return the weighted sum of described examples as a query; a single wanted one is the query itself.

    Raises UsageError if there is none that is wanted, if several are combined of which one has no vector, or if they
    cancel one another.
    """
    if len(queries) > MOST_EXAMPLES:
        raise UsageError(f"search: got {len(queries)} examples; expected at most {MOST_EXAMPLES}")
    if not any(weight > 0 for weight in weights):
        raise UsageError("search: no example is wanted; give one with a weight above 0")
    if len(queries) == 1:
        return queries[0]
    total = sum(weight * _vector(each) for each, weight in zip(queries, weights, strict=True))
    return DescribedQuery(_direction(cast(Vectors, total)))


def rocchio(query: Vectors, right: Sequence[Vectors], wrong: Sequence[Vectors]) -> Vectors:
    """Move a unit vector (1, D) towards the mean of right answers and away from that of wrong ones: (1, D), unit.

    Source: Rocchio 1971, with the weights of Salton and Buckley 1990. Raises UsageError if nothing remains.

    >>> print(rocchio(np.array([[1.0, 0.0]]), [np.array([[0.0, 1.0]])], []).round(2))
    [[0.8 0.6]]
    """
    moved = np.array(query, np.float32)
    for weight, marks in ((RIGHT_WEIGHT, right), (-WRONG_WEIGHT, wrong)):
        if marks:
            moved += weight * np.concatenate(list(marks)).mean(axis=0, keepdims=True)
    return _direction(moved)


def marked(
    query: DescribedQuery | None, right: Sequence[DescribedQuery], wrong: Sequence[DescribedQuery]
) -> list[DescribedQuery]:
    """Return the queries that a query becomes by marked answers: moved by all of them, and the latest right ones.

    Without a query the right answers are what is searched for. Raises UsageError if there are none of these either.
    """
    if query is not None and not (right or wrong):
        return [query]
    if query is None and not right:
        raise UsageError("search: the query is empty; give an image, several, a vector, or right answers")
    begin = np.zeros_like(_vector(right[0])) if query is None else _vector(query)
    moved = rocchio(begin, [_vector(each) for each in right], [_vector(each) for each in wrong])
    first = DescribedQuery(moved) if query is None else replace(query, vector=moved)
    return [first, *right[-MOST_FURTHER:]]


def doubted(
    ranking: Ranking, wrong: Sequence[Ranking], *, right_ids: Sequence[int], wrong_ids: Sequence[int]
) -> Ranking:
    """Return a ranking with probabilities after answers were marked as wrong, ordered by the probabilities.

    `wrong` has the rankings of the wrong answers as queries: p becomes p · (1 − q), with q the largest probability to
    show the same thing as one of them. The marked images themselves have 1 and 0.
    """
    assert ranking.probabilities is not None
    ids, before = ranking.ids[0], np.nan_to_num(ranking.probabilities[0])
    doubts: dict[int, float] = {}
    for each in wrong:
        found = np.zeros(0) if each.probabilities is None else np.nan_to_num(each.probabilities[0])
        for id_, probability in zip(each.ids[0].tolist(), found.tolist(), strict=False):
            doubts[id_] = max(doubts.get(id_, 0.0), probability)
    now = before * (1 - np.array([doubts.get(id_, 0.0) for id_ in ids.tolist()]))
    now[np.isin(ids, right_ids)] = 1.0
    now[np.isin(ids, wrong_ids)] = 0.0
    now[ids < 0] = -np.inf
    order = np.argsort(-now, kind="stable")
    probabilities = np.where(ids < 0, np.nan, now)[order].astype(np.float32)
    boxes = None if ranking.boxes is None else ranking.boxes[:, order]
    return Ranking(ids[order][None], now[order].astype(np.float32)[None], boxes, probabilities[None])


def moved_apart(
    ranking: Ranking, searcher: Searcher, wrong: Sequence[DescribedQuery], *, wrong_ids: Sequence[int]
) -> Ranking:
    """Return a ranking by cosines after answers were marked as wrong.

    A result that is nearer to a wrong answer than to what is wanted loses the difference: s becomes 2s − c. The marked
    images themselves have −1.
    """
    ids = ranking.ids[0][ranking.ids[0] >= 0]
    scores = ranking.scores[0][: len(ids)].astype(np.float64)
    vectors = np.concatenate([_vector(each) for each in wrong])
    nearest = (searcher.vectors(ids) @ vectors.T).max(axis=1)
    moved = np.minimum(scores, 2 * scores - nearest)
    moved[np.isin(ids, wrong_ids)] = -1.0
    order = np.argsort(-moved, kind="stable")
    boxes = None if ranking.boxes is None else ranking.boxes[:, : len(ids)][:, order]
    return Ranking(ids[order][None], moved[order].astype(np.float32)[None], boxes)


def image_numbers(store: Store, uids: Sequence[str]) -> NDArray[np.int64]:
    """Return the ids of the vectors of images."""
    return store.select(Filter(ids=tuple(uids))) if uids else np.empty(0, np.int64)


def _vector(query: DescribedQuery) -> Vectors:
    if query.vector is None:
        raise UsageError("search: several examples or marked answers need a library with one vector per image")
    return query.vector


def _direction(total: Vectors) -> Vectors:
    if float(np.linalg.norm(total)) < SMALLEST:
        raise UsageError("search: the examples cancel one another; leave one out, or change its weight")
    return _unit(total)


def _unit(rows: Vectors) -> Vectors:
    unit: Vectors = l2_normalise(rows.reshape(-1, rows.shape[-1])[:1])
    return unit
