from __future__ import annotations

import numpy as np
import pytest

from kindred.calibration import (
    Calibration,
    Evidence,
    Labelled,
    cross_validate,
    first_results,
    fit_calibration,
    probabilities_of,
    reliability,
)
from kindred.errors import UsageError

TRUE = Calibration(-6.0, 12.0, -5.0, 8.0, 3.0, 0.5, 0.4, 0.1, -5.0, 14.0, -8.0, 8.0)


def drawn(name: str, *, level: float, queries: int = 200, seed: int = 0) -> Labelled:
    """Candidates whose labels are drawn with the probabilities of TRUE; best cosines are around `level`."""
    rng = np.random.default_rng(seed)
    parts, same = [], []
    for _ in range(queries):
        cosines = np.sort(np.clip(rng.normal(level - 0.25, 0.15, 30), -1, 1))[::-1]
        evidence = Evidence.of_query(cosines, rng.choice([0, 4, 5, 8, 15, 40], 30))
        parts.append(evidence)
        same.append(rng.random(30) < probabilities_of(TRUE.log_odds(evidence)))
    return Labelled(name, Evidence.concatenated(parts), np.concatenate(same), np.repeat(np.arange(queries), 30))


def test_finds_the_probabilities_that_labels_were_drawn_with() -> None:
    sets = [drawn("low", level=0.35, seed=1), drawn("high", level=0.8, seed=2)]
    found = fit_calibration(sets)
    new = drawn("new", level=0.6, seed=3)
    wanted = probabilities_of(TRUE.log_odds(new.evidence))
    assert probabilities_of(found.log_odds(new.evidence)) == pytest.approx(wanted, abs=0.15)
    assert found.unsure > found.sure >= 0


def test_cross_validation_tests_on_the_set_that_was_left_out() -> None:
    sets = [
        drawn(name, level=level, seed=seed) for seed, (name, level) in enumerate([("a", 0.4), ("b", 0.6), ("c", 0.8)])
    ]
    folds = cross_validate(sets)
    assert [fold.name for fold in folds] == ["a", "b", "c"]
    assert all(fold.reliability.cases == 200 for fold in folds)
    assert all(fold.reliability.error < 0.12 for fold in folds)
    probabilities, same = first_results(folds[0].calibration, sets[0])
    answered = [sets[0].same[sets[0].queries == number].any() for number in range(200)]
    assert folds[0].recall == pytest.approx(same[answered].mean())
    assert reliability(probabilities, same).error == folds[0].reliability.error


def test_needs_two_sets_and_both_labels() -> None:
    one = drawn("one", level=0.5, queries=20)
    with pytest.raises(UsageError, match="at least two sets, got 1"):
        cross_validate([one])
    with pytest.raises(UsageError, match="and others that do not"):
        fit_calibration([Labelled("none", one.evidence, np.zeros(600, np.bool_), one.queries)])
    with pytest.raises(UsageError, match="at least one set"):
        fit_calibration([])


def test_labels_have_the_length_of_the_evidence() -> None:
    with pytest.raises(UsageError, match="as many of each"):
        Labelled("short", Evidence.of_query([0.5, 0.2]), np.zeros(1, np.bool_), np.zeros(2, np.int64))


def test_what_the_data_leave_open_stays_as_usual() -> None:
    """Scenes alone, where the descriptor is always sure, say nothing about queries of which it is unsure."""
    scenes = drawn("scenes", level=0.9, seed=4)
    found = fit_calibration([scenes])
    assert found.weights(0.9) == pytest.approx(TRUE.weights(0.9), abs=0.3)
    assert found.weights(0.1) == pytest.approx(3.0, abs=1.0)
    assert (found.turn, found.width) == pytest.approx((0.4, 0.1), abs=0.05)
