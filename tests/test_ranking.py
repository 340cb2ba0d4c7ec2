from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.ranking import Ranking, score_text

IDS = np.array([[7, 3, -1], [4, 5, 6]])
SCORES = np.array([[0.9, 0.5, -np.inf], [0.8, 0.8, -0.1]], dtype=np.float32)
BOXES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_holds_what_it_is_given() -> None:
    ranking = Ranking(IDS, SCORES, BOXES)
    assert ranking.ids.tolist() == IDS.tolist()
    assert ranking.scores.tolist() == SCORES.tolist()
    assert ranking.boxes is not None
    assert ranking.boxes.tolist() == BOXES.tolist()
    assert len(ranking) == 2


def test_is_frozen_and_owns_its_arrays() -> None:
    ids = IDS.copy()
    ranking = Ranking(ids, SCORES)
    ids[0, 0] = 99
    assert ranking.ids[0, 0] == 7
    with pytest.raises(ValueError, match="read-only"):
        ranking.ids[0, 0] = 1
    with pytest.raises(FrozenInstanceError):
        ranking.ids = ids  # type: ignore[misc]


def test_top_keeps_the_first_results() -> None:
    best = Ranking(IDS, SCORES, BOXES).top(2)
    assert best.ids.tolist() == [[7, 3], [4, 5]]
    assert best.boxes is not None
    assert best.boxes.tolist() == BOXES[:, :2].tolist()
    assert best.top(9).ids.shape == (2, 2)
    with pytest.raises(UsageError, match="k: got 0"):
        best.top(0)


def test_may_be_empty() -> None:
    assert len(Ranking(IDS[:0], SCORES[:0])) == 0
    assert Ranking(IDS[:, :0], SCORES[:, :0]).ids.shape == (2, 0)


def test_converts_other_number_types() -> None:
    ids: NDArray[Any] = IDS.astype(np.int16)
    scores: NDArray[Any] = SCORES.astype(np.float64)
    ranking = Ranking(ids, scores)
    assert ranking.ids.dtype == np.int64
    assert ranking.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("ids", "scores", "boxes", "message"),
    [
        (IDS[0], SCORES[0], None, r"ids: got shape \(3,\); expected \(Q, K\)"),
        (IDS, SCORES[:, :2], None, r"scores: got shape \(2, 2\); expected that of ids, \(2, 3\)"),
        (IDS, SCORES, np.zeros((2, 3)), r"boxes: got shape \(2, 3\); expected \(2, 3, 4\)"),
        (IDS.astype(float), SCORES, None, "ids: got float64 values; expected whole numbers"),
        (IDS, SCORES * [[1], [np.nan]], None, "scores: row 1 holds NaN"),
        (IDS[:, ::-1], SCORES[:, ::-1], None, "scores: row 0 rises"),
        (IDS, [[0.9, 0.5, 0.1], [0.8, 0.8, -0.1]], None, "ids: row 0 pads wrongly"),
        ([[1, 2, 3], [4, 5, 6]], SCORES, None, "ids: row 0 pads wrongly"),
        ([[7, 3, -1], [4, 5, -2]], SCORES, None, "ids: row 1 pads wrongly"),
    ],
)
def test_what_is_no_ranking_is_refused(
    ids: NDArray[np.int64], scores: NDArray[np.float32], boxes: NDArray[np.float32] | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Ranking(ids, scores, boxes)


def test_scores_are_written_by_their_size() -> None:
    assert [score_text(score) for score in (0.7234, -0.5, 9.9994, 39.0, 12.4)] == [
        "0.723",
        "-0.500",
        "9.999",
        "39",
        "12",
    ]
