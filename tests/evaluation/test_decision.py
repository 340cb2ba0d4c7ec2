from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.evaluation.decision import DecisionLog, without
from kindred.ranking import Ranking

ODDS = np.array([[0.9, 0.4, 0.3], [0.6, 0.5, 0.2], [0.8, 0.7, 0.1]], np.float32)


def ids_of(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def judged(ranking: Ranking, _removed: Sequence[NDArray[np.int64]] | None) -> Ranking:
    """The score is the probability."""
    probabilities = np.where(ranking.ids < 0, np.nan, ranking.scores).astype(np.float32)
    return Ranking(ranking.ids, ranking.scores, None, probabilities)


def test_counts_what_is_reported_with_and_without_relevant_images() -> None:
    ranking = Ranking(np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]]), ODDS)
    # The first query is right and sure, the second wrong (4 is relevant), the third right after its junk.
    log = DecisionLog([ids_of(0), ids_of(4), ids_of(7)], [ids_of(), ids_of(), ids_of(6)])
    better = log.add(ranking, judged, slice(0, 3))
    assert better.ids.tolist() == ranking.ids.tolist()
    assert [probability for probability, _ in log.present] == pytest.approx([0.9, 0.6, 0.7])
    assert [right for _, right in log.present] == [True, False, True]
    assert log.absent == pytest.approx([0.4, 0.6, 0.1])
    found = log.metrics()
    assert found["no-answer recall"] == pytest.approx(2 / 3)
    assert found["no-answer precision"] == 1.0
    assert found["right results lost"] == 0.0
    assert found["calibration error"] == log.reliability.error


def test_a_right_result_below_the_line_is_lost() -> None:
    log = DecisionLog([ids_of(0), ids_of(3)], [ids_of(), ids_of()])
    log.add(Ranking(np.array([[0, 1], [3, 4]]), np.array([[0.3, 0.1], [0.9, 0.2]], np.float32)), judged, slice(0, 2))
    found = log.metrics()
    assert found["right results lost"] == 0.5
    assert found["no-answer recall"] == 1.0
    assert found["no-answer precision"] == pytest.approx(2 / 3)


def test_a_query_without_relevant_images_counts_as_one_without_an_answer() -> None:
    log = DecisionLog([ids_of()], [ids_of()])
    log.add(Ranking(np.array([[0]]), np.array([[0.2]], np.float32)), judged, slice(0, 1))
    assert (log.present, log.metrics()) == ([], {})
    assert log.absent == pytest.approx([0.2])


def test_an_empty_ranking_is_reported() -> None:
    log = DecisionLog([ids_of(0)], [ids_of()])
    log.add(Ranking(np.array([[0]]), np.array([[0.9]], np.float32)), judged, slice(0, 1))
    assert log.absent == [0.0]


def test_results_move_up_where_others_are_removed() -> None:
    ranking = Ranking(np.array([[4, 2, 9], [1, 3, -1]]), np.array([[3, 2, 1], [5, 4, -np.inf]], np.float32))
    found = without(ranking, [ids_of(4, 9), ids_of()])
    assert found.ids.tolist() == [[2, -1, -1], [1, 3, -1]]
    assert found.scores.tolist() == [[2, -np.inf, -np.inf], [5, 4, -np.inf]]
