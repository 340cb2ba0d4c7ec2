from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.index import best_of_passes, join_candidates
from kindred.ranking import Ranking

NONE = -np.inf


def _score(number: int, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    there = ids[ids != 9]  # image 9 was removed meanwhile
    return there, (0.5 - 0.01 * there - 0.1 * number).astype(np.float32)


def test_both_lists_with_the_scores_of_the_first_each_image_once() -> None:
    ranking = Ranking(np.array([[4, 2]]), np.array([[0.9, 0.44]], np.float32))
    found = Ranking(np.array([[2, 9, 5, 6, 7]]), np.array([[8, 7, 6, 5, 0]], np.float32))
    joined = join_candidates(ranking, found, _score)
    assert joined.ids.tolist() == [[4, 5, 2, 6]]  # 7 has no vote
    np.testing.assert_allclose(joined.scores, [[0.9, 0.45, 0.44, 0.44]])


def test_queries_with_fewer_candidates_are_padded() -> None:
    ranking = Ranking(np.array([[1], [3]]), np.array([[0.9], [0.8]], np.float32))
    found = Ranking(np.array([[1, -1], [5, 6]]), np.array([[2, NONE], [3, 1]], np.float32))
    joined = join_candidates(ranking, found, _score)
    assert joined.ids.tolist() == [[1, -1, -1], [3, 5, 6]]
    np.testing.assert_allclose(joined.scores[1], [0.8, 0.35, 0.34])


def test_each_image_counts_with_the_best_of_its_scores_by_the_passes() -> None:
    ids = np.array([[4, 2, 9], [2, 5, -1], [9, 4, 3]])
    scores = np.array([[0.5, 0.4, 0.1], [0.7, 0.2, NONE], [0.5, 0.3, 0.2]], np.float32)
    best = best_of_passes(Ranking(ids, scores))
    assert best.ids.tolist() == [[2, 4, 9]]
    np.testing.assert_allclose(best.scores, [[0.7, 0.5, 0.5]])
    few = Ranking(np.array([[1, -1], [1, -1]]), np.array([[0.2, NONE], [0.3, NONE]], np.float32))
    assert best_of_passes(few).ids.tolist() == [[1, -1]]
    assert best_of_passes(Ranking(np.empty((2, 0), np.int64), np.empty((2, 0), np.float32))).ids.shape == (1, 0)


def test_no_query_and_no_candidate() -> None:
    empty = Ranking(np.empty((0, 3), np.int64), np.empty((0, 3), np.float32))
    assert join_candidates(empty, empty, _score).ids.shape == (0, 0)
    nothing = Ranking(np.empty((1, 0), np.int64), np.empty((1, 0), np.float32))
    assert join_candidates(nothing, nothing, _score).ids.shape == (1, 0)
