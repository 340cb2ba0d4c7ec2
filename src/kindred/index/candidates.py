"""Candidates for re-ranking: the union of the best by vectors and the best by visual words, and further ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.ranking import Ranking

__all__ = ["CANDIDATES", "LISTED", "ScoreIds", "best_of_passes", "by_words_and_vectors", "halves", "join_candidates"]

CANDIDATES = 100
"""Number of results to re-rank, at least; with visual words, half of them are the best by words."""

LISTED = 300
"""The best by the words of each pass, of which further candidates are the best by words and vectors together."""

ScoreIds: TypeAlias = Callable[[int, NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""Index of a query and ids (n,) → existing ids (m,) and their scores (m,), comparable with those of the ranking."""


def halves(depth: int) -> tuple[int, int]:
    """Return how many of `depth` candidates are the best by vectors, and how many the best by visual words.

    >>> halves(25), halves(1)
    ((13, 12), (1, 1))
    """
    return -(-depth // 2), max(1, depth // 2)


def join_candidates(ranking: Ranking, found: Ranking, score: ScoreIds) -> Ranking:
    """Return the union of the results of `ranking` and `found`, scored as in `ranking`, best first.

    Results of `found` that are not in `ranking` are scored by `score`; those with a score of 0 in `found` have no match
    with the query and are omitted. Equal scores are ordered by id.
    """
    rows = []
    for number in range(len(ranking)):
        ids, scores = _results(ranking, number)
        more, votes = _results(found, number)
        more, more_scores = score(number, more[(votes > 0) & ~np.isin(more, ids)])
        ids, scores = np.concatenate((ids, more)), np.concatenate((scores, more_scores))
        order = np.lexsort((ids, -scores))
        rows.append((ids[order], scores[order]))
    width = max((len(ids) for ids, _ in rows), default=0)
    joined = np.full((len(rows), width), -1, np.int64), np.full((len(rows), width), -np.inf, np.float32)
    for number, (ids, scores) in enumerate(rows):
        joined[0][number, : len(ids)], joined[1][number, : len(ids)] = ids, scores
    return Ranking(*joined)


def best_of_passes(found: Ranking) -> Ranking:
    """Return the results of one query by its passes (P, K), each image with the best of its scores: (1, K).

    The best K of the query are among the best K of its passes. Equal scores are ordered by id.

    >>> best_of_passes(Ranking(np.array([[4, 5], [5, 6]]), np.float32([[0.3, 0.2], [0.4, 0.1]]))).ids.tolist()
    [[5, 4]]
    """
    ids, scores = found.ids.ravel(), found.scores.ravel()
    order = np.lexsort((ids, -scores))
    _, first = np.unique(ids[order], return_index=True)
    best = order[np.sort(first)]
    best = np.concatenate((best[ids[best] >= 0], best[ids[best] < 0]))[: found.ids.shape[1]]
    return Ranking(ids[None, best], scores[None, best])


def by_words_and_vectors(
    ids: NDArray[np.int64], votes: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return images (n,) ordered by the sum of their standard scores by visual words (n,) and by vectors (n,).

    What is unlike the query as a whole, and shares few words with it, is often still the best by both together.

    >>> by_words_and_vectors(np.array([4, 5, 6]), np.float32([3, 2, 0]), np.float32([0.1, 0.5, 0.2])).tolist()
    [5, 4, 6]
    """
    together = _standard(votes) + _standard(scores)
    return ids[np.lexsort((ids, -together))]


def _standard(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return values (n,) less their mean, divided by their standard deviation."""
    if not len(values):
        return np.zeros(0)
    known = values.astype(np.float64)
    standard: NDArray[np.float64] = (known - known.mean()) / max(float(known.std()), 1e-12)
    return standard


def _results(ranking: Ranking, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ids and scores of a query, without padding."""
    here = ranking.ids[number] >= 0
    return ranking.ids[number][here], ranking.scores[number][here]
