"""Fit a calibration on labelled candidates of one set or several, and test it on a set that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from kindred.calibration.evidence import Floats, Labelled
from kindred.calibration.model import Calibration, above_chance, probabilities_of
from kindred.calibration.reliability import Reliability, reliability
from kindred.errors import MissingExtra, UsageError

__all__ = ["Fold", "check_optimizer", "cross_validate", "first_results", "fit_calibration"]

STEPS = 500
START = (-6.0, 12.0, -6.0, 8.0, 0.5, 2.5, 0.4, 0.1)
SCALE = (6.0, 6.0, 6.0, 6.0, 0.5, 2.0, 0.1, 0.05)
RIDGE = 3e-3
"""How strongly parameters are drawn towards START, in units of SCALE, where the data leave them open.

With hardly any, the search may end in other minima, and scenes alone, which say little of what inliers are worth where
the descriptor is unsure, say anything. With 10⁻⁵ in place of this, the calibration error of covers that were left out
is 0.22, not 0.12, and that of the walk 0.13, not 0.15 (decision 17).
"""
BOUNDS = ((-30, 30), (0, 60), (-60, 60), (-60, 60), (0, 20), (0, 20), (0.0, 0.9), (0.02, 0.3))
"""bias, cosine, best, margin, sure, unsure − sure, turn, width: limits, in the order of START and SCALE."""
UNVERIFIED = ("unverified_bias", "unverified_cosine", "unverified_best", "unverified_margin")
Gradient = tuple[float, Floats]


def fit_calibration(sets: Sequence[Labelled]) -> Calibration:
    """Fit a calibration by maximum likelihood (logistic regression, Platt 1999).

    Sets count equally, and within a set its queries. Raises UsageError where there is no candidate that shows the same
    thing, or none that does not; MissingExtra without SciPy.
    """
    same, weights = _labels(sets)
    if not same.any() or same.all():
        raise UsageError("a calibration needs candidates that show the same thing and others that do not")
    cosines, best, margin = (
        np.concatenate([getattr(each.evidence, name) for each in sets]) for name in ("cosines", "best", "margin")
    )
    linear = np.stack((np.ones(len(cosines)), cosines, best, margin), axis=1)
    inliers = above_chance(np.nan_to_num(np.concatenate([each.evidence.inliers for each in sets])))

    def verified(x: Floats) -> tuple[Floats, Floats]:
        """Return the log-odds (N,) and their derivatives (N, 8)."""
        sure, extra, turn, width = x[4:]
        gate = probabilities_of((turn - best) / width)
        slope = extra * inliers * gate * (1 - gate) / width
        odds = linear @ x[:4] + (sure + extra * gate) * inliers
        by = (inliers, gate * inliers, slope, -slope * (turn - best) / width)
        return odds, np.concatenate((linear, np.stack(by, axis=1)), axis=1)

    x = _minimum(verified, same, weights, BOUNDS)
    alone = _minimum(lambda x: (linear @ x, linear), same, weights, BOUNDS[:4])
    bias, cosine, best_cosine, contrast, sure, extra, turn, width = x.tolist()
    others = dict(zip(UNVERIFIED, alone.tolist(), strict=True))
    return Calibration(bias, cosine, best_cosine, contrast, sure + extra, sure, turn, width, **others)


@dataclass(frozen=True)
class Fold:
    """A calibration fitted on other sets, and how it did on the one that was left out.

    recall: the fraction of queries, of those that have a candidate that shows the same thing, whose first result does.
    reliability: of the first result of every query.
    """

    name: str
    calibration: Calibration
    recall: float
    reliability: Reliability


def cross_validate(sets: Sequence[Labelled]) -> list[Fold]:
    """Fit on all sets but one and test on that, for each. Raises UsageError for fewer than two sets."""
    if len(sets) < 2:
        raise UsageError(f"cross-validation needs at least two sets, got {len(sets)}")
    folds = []
    for left_out in sets:
        calibration = fit_calibration([each for each in sets if each is not left_out])
        probabilities, same = first_results(calibration, left_out)
        answered = np.maximum.reduceat(left_out.same, left_out.starts)
        recall = float(same[answered].mean()) if answered.any() else float("nan")
        folds.append(Fold(left_out.name, calibration, recall, reliability(probabilities, same)))
    return folds


def first_results(calibration: Calibration, found: Labelled) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the probability of the first result of each query (Q,), and whether it shows the same thing (Q,)."""
    odds = calibration.log_odds(found.evidence)
    first = found.first(odds)
    return probabilities_of(odds[first]), found.same[first]


def _labels(sets: Sequence[Labelled]) -> tuple[NDArray[np.bool_], Floats]:
    """Return what is true of all candidates (N,), and how much each counts (N,)."""
    if not sets:
        raise UsageError("a calibration needs at least one set of labelled candidates")
    weights = [np.full(len(each.evidence), 1 / max(1, len(each)) / len(sets)) for each in sets]
    return np.concatenate([each.same for each in sets]), np.concatenate(weights)


def check_optimizer() -> None:
    """Raise MissingExtra without SciPy; called before images are measured."""
    if find_spec("scipy") is None:
        raise MissingExtra("fitting a calibration", "verify")


def _minimum(
    model: Callable[[Floats], tuple[Floats, Floats]],
    same: NDArray[np.bool_],
    weights: Floats,
    bounds: Sequence[tuple[float, float]],
) -> Floats:
    """Return the parameters for which the labels are most likely."""
    check_optimizer()
    from scipy.optimize import minimize

    usual, scale = np.array(START[: len(bounds)]), np.array(SCALE[: len(bounds)])

    def loss(x: Floats) -> Gradient:
        odds, derivatives = model(x)
        likelihood = np.logaddexp(0, np.where(same, -odds, odds))
        residuals = weights * (probabilities_of(odds) - same)
        away = (x - usual) / scale
        value = float(weights @ likelihood) + RIDGE * float(away @ away)
        return value, residuals @ derivatives + 2 * RIDGE * away / scale

    found = minimize(loss, usual, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": STEPS})
    minimum: Floats = found.x
    return minimum
