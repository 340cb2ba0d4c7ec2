from __future__ import annotations

import numpy as np
import pytest

from kindred.calibration import reliability
from kindred.errors import UsageError


def literal_error(p: list[float], true: list[bool], weights: list[float], bins: int) -> float:
    """Naeini et al. 2015, interval by interval."""
    error = 0.0
    for at in range(bins):
        inside = [
            n for n, each in enumerate(p) if at / bins <= each < (at + 1) / bins or (at == bins - 1 and each == 1)
        ]
        weight = sum(weights[n] for n in inside)
        if weight:
            predicted = sum(weights[n] * p[n] for n in inside) / weight
            observed = sum(weights[n] * true[n] for n in inside) / weight
            error += weight / sum(weights) * abs(predicted - observed)
    return error


def test_is_the_mean_difference_of_the_intervals() -> None:
    rng = np.random.default_rng(0)
    p, weights = rng.random(300).tolist(), rng.random(300).tolist()
    true = (rng.random(300) < 0.6).tolist()
    found = reliability(p, true, weights=weights, bins=7)
    assert found.error == pytest.approx(literal_error(p, true, weights, 7))
    assert found.cases == 300
    assert sum(each.weight for each in found.bins) == pytest.approx(1)
    squares = [w * (a - b) ** 2 for a, b, w in zip(p, true, weights, strict=True)]
    assert found.brier == pytest.approx(sum(squares) / sum(weights))


def test_certain_and_right_has_no_error() -> None:
    found = reliability([0.0, 1.0, 1.0], [False, True, True])
    assert (found.error, found.brier) == (0.0, 0.0)
    assert [(each.low, each.high) for each in found.bins] == [(0.0, 0.1), (0.9, 1.0)]


@pytest.mark.parametrize(
    ("probabilities", "truths", "weights"),
    [
        ([], [], None),
        ([0.5], [True, False], None),
        ([1.5], [True], None),
        ([float("nan")], [True], None),
        ([0.5], [2], None),
        ([0.5], [True], [-1.0]),
        ([0.5], [True], [0.0]),
    ],
)
def test_refuses_what_it_cannot_compare(probabilities: list[float], truths: list[bool], weights: list[float]) -> None:
    with pytest.raises(UsageError):
        reliability(probabilities, truths, weights=weights)
