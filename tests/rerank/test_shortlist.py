from __future__ import annotations

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, Context
from kindred.rerank.shortlist import Reranked, checked_queries, compose, default_count, result_ids

INF = np.inf


def _head(*pairs: tuple[int, float]) -> Reranked:
    return np.array([id_ for id_, _ in pairs], np.int64), np.array([score for _, score in pairs], np.float32)


def test_results_leave_out_the_padding() -> None:
    ranking = Ranking(np.array([[4, 2, -1]]), np.array([[1.0, 0.5, -INF]]))
    assert result_ids(ranking, 0).tolist() == [4, 2]
    assert result_ids(ranking, 0, limit=1).tolist() == [4]


def test_old_results_follow_the_new_below_them() -> None:
    ranking = Ranking(np.array([[4, 2, 7, 9]]), np.array([[0.9, 0.8, 0.5, 0.4]]))
    composed = compose(ranking, [_head((2, 0.3), (11, 0.1))])
    assert composed.ids.tolist() == [[2, 11, 4, 7]]
    np.testing.assert_allclose(composed.scores, [[0.3, 0.1, 0.1, -0.3]], atol=1e-6)


def test_scores_that_lie_lower_already_stay() -> None:
    ranking = Ranking(np.array([[4, 2, -1]]), np.array([[0.5, 0.4, -INF]]))
    composed = compose(ranking, [_head((2, 3.0))])
    assert composed.ids.tolist() == [[2, 4, -1]]
    np.testing.assert_allclose(composed.scores, [[3.0, 0.5, -INF]])


def test_a_query_without_new_results_keeps_its_old_ones() -> None:
    ranking = Ranking(np.array([[4, 2], [-1, -1]]), np.array([[0.5, 0.4], [-INF, -INF]]))
    composed = compose(ranking, [_head(), _head()])
    np.testing.assert_array_equal(composed.ids, ranking.ids)
    np.testing.assert_array_equal(composed.scores, ranking.scores)


def test_boxes_follow_their_images_where_all_are_known() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    ranking = Ranking(np.array([[4, 2, 7]]), np.array([[0.9, 0.8, 0.5]]), boxes)
    composed = compose(ranking, [_head((7, 1.0))])
    assert composed.ids.tolist() == [[7, 4, 2]]
    assert composed.boxes is not None
    np.testing.assert_array_equal(composed.boxes, boxes[:, [2, 0, 1]])
    assert compose(ranking, [_head((5, 1.0))]).boxes is None


def test_queries_must_be_as_many_as_the_rows() -> None:
    context = Context(np.ones((2, 3), np.float32), ArrayGallery(np.ones((4, 3))))
    with pytest.raises(UsageError, match=r"queries: got 2 vectors for a ranking of 1 queries; expected one per query"):
        checked_queries(Ranking(np.array([[1]]), np.array([[1.0]])), context)


class Sized(ArrayGallery):
    """A gallery of any number of images, for what only asks for that."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def test_a_default_count_suits_the_size_of_the_gallery() -> None:
    found = [default_count(0, Sized(count), name="n", least=2, most=20) for count in (0, 1, 79, 120, 799, 800, 10**7)]
    assert found == [2, 2, 2, 3, 19, 20, 20]
    assert default_count(500, Sized(3), name="n", least=2, most=20) == 500
    for wrong in (-1, 0.5, False):
        with pytest.raises(UsageError, match=rf"n: got {wrong}; expected a whole number of at least 1"):
            default_count(wrong, Sized(3), name="n", least=2, most=20)  # type: ignore[arg-type]
