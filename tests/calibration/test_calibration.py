from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from kindred.calibration import Calibration, Evidence, probabilities_of
from kindred.errors import ModelError, UsageError

MODEL = Calibration(
    bias=-6.0,
    cosine=14.0,
    best=-7.0,
    margin=8.0,
    unsure=4.0,
    sure=0.5,
    turn=0.4,
    width=0.1,
    unverified_bias=-5.0,
    unverified_cosine=16.0,
    unverified_best=-10.0,
    unverified_margin=9.0,
)


def test_follows_its_formula() -> None:
    found = MODEL.log_odds(Evidence.of_query([0.5, 0.3, 0.1], [0, 20, 8]))
    weight = 0.5 + 3.5 / (1 + math.exp((0.5 - 0.4) / 0.1))
    common = -6.0 - 7.0 * 0.5 + 8.0 * (0.5 - 0.1)
    assert found == pytest.approx([common + 14 * 0.5, common + 14 * 0.3 + weight * math.log(13), common + 14 * 0.1])


def test_the_margin_is_that_to_the_twenty_first_cosine_or_to_the_last() -> None:
    cosines = np.linspace(0.9, 0.1, 41)
    assert Evidence.of_query(cosines).margin == pytest.approx(np.full(41, 0.4))
    assert Evidence.of_query([0.9, 0.2]).margin == pytest.approx([0.7, 0.7])
    assert Evidence.of_query([0.9]).margin.tolist() == [0.0]
    assert len(Evidence.of_query([])) == 0


def test_a_query_without_local_features_is_judged_by_cosines() -> None:
    found = MODEL.log_odds(Evidence.of_query([0.6, 0.2]))
    assert found == pytest.approx([-5 + 16 * s - 10 * 0.6 + 9 * 0.4 for s in (0.6, 0.2)])


@pytest.mark.parametrize("best", [0.05, 0.3, 0.5, 0.95])
def test_inliers_and_cosines_never_move_a_candidate_down(best: float) -> None:
    counts = np.arange(0, 200)
    rising = MODEL.log_odds(Evidence(np.full(200, 0.05), np.full(200, best), np.zeros(200), counts.astype(float)))
    assert (np.diff(rising) >= 0).all()
    assert rising[8] == rising[0]  # so many agree by chance
    assert rising[-1] > rising[8]
    cosines = np.linspace(-1, best, 50)
    assert (np.diff(MODEL.log_odds(Evidence.of_query(cosines, np.zeros(50)))) >= 0).all()


def test_inliers_count_fully_where_the_descriptor_is_unsure_and_hardly_where_it_is_sure() -> None:
    assert MODEL.weights([-1.0, 0.4, 1.0]) == pytest.approx([4.0, 2.25, 0.5], abs=0.01)


def test_log_odds_are_limited() -> None:
    wild = replace(MODEL, bias=900.0)
    assert wild.log_odds(Evidence.of_query([0.5], [10])).tolist() == [60.0]
    assert probabilities_of([-1e9, 1e9, 0]).tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": math.nan}, "bias is nan"),
        ({"margin": math.inf}, "margin is inf"),
        ({"best": 1e9}, "best is"),
        ({"cosine": -1.0}, "expected none below 0"),
        ({"unverified_cosine": -1.0}, "expected none below 0"),
        ({"sure": -0.1}, "expected none below 0"),
        ({"sure": 5.0}, "that of unsure queries as the larger"),
        ({"width": 0.0}, "width is 0"),
    ],
)
def test_refuses_what_would_order_wrongly(change: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(MODEL, **change)


def test_comes_back_from_its_arrays() -> None:
    assert Calibration.from_arrays(MODEL.to_arrays()) == MODEL


@pytest.mark.parametrize(
    "change",
    [{"bias": np.zeros(2)}, {"bias": np.array("six")}, {"bias": np.array(np.nan)}, {"width": np.array(0.0)}],
)
def test_refuses_damaged_arrays(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        Calibration.from_arrays({**MODEL.to_arrays(), **change})


def test_refuses_arrays_without_a_number() -> None:
    arrays = MODEL.to_arrays()
    del arrays["turn"]
    with pytest.raises(ModelError, match="turn missing"):
        Calibration.from_arrays(arrays)


def test_evidence_has_one_length() -> None:
    with pytest.raises(UsageError, match="expected \\(N,\\) of each"):
        Evidence(np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(3))


def test_concatenates_queries() -> None:
    both = Evidence.concatenated([Evidence.of_query([0.9, 0.1], [3, 0]), Evidence.of_query([0.4], [8])])
    assert both.best.tolist() == [0.9, 0.9, 0.4]
    assert both.inliers.tolist() == [3, 0, 8]
    assert set(asdict(MODEL)) == set(MODEL.to_arrays())
