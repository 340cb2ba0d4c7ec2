"""Reliability: whether probabilities mean what they say, as a diagram and as the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import check_whole
from kindred.errors import UsageError

__all__ = ["Reliability", "ReliabilityBin", "reliability"]

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """The cases whose probability lies in one interval: its edges, their weight, mean probability and true fraction."""

    low: float
    high: float
    weight: float
    predicted: float
    observed: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: the intervals that hold a case, ascending, and figures of all cases.

    error: the expected calibration error, the mean of |predicted − observed| over the intervals by weight (Naeini et
    al. 2015). brier: the mean squared difference between a probability and what was true (Brier 1950). cases: their
    number.
    """

    bins: tuple[ReliabilityBin, ...]
    error: float
    brier: float
    cases: int


def reliability(
    probabilities: ArrayLike, truths: ArrayLike, *, weights: ArrayLike | None = None, bins: int = BINS
) -> Reliability:
    """Compare probabilities (n,) with what was true (n,) bool, in `bins` intervals of equal width.

    weights (n,), not negative: how much each case counts; all equally by default. Raises UsageError for no case, or
    for arrays that differ in length or hold other values.

    >>> found = reliability([0.25, 0.25, 0.75, 0.75], [False, False, True, False], bins=2)
    >>> found.error, found.bins[1].observed
    (0.25, 0.5)
    """
    check_whole(bins=bins)
    p, true, weight = _checked(probabilities, truths, weights)
    interval = np.minimum((p * bins).astype(np.int64), bins - 1)
    total = np.bincount(interval, weight, bins)
    predicted, observed = (np.bincount(interval, weight * each, bins) for each in (p, true))
    found = [
        ReliabilityBin(
            at / bins,
            (at + 1) / bins,
            float(total[at] / weight.sum()),
            float(predicted[at] / total[at]),
            float(observed[at] / total[at]),
        )
        for at in np.flatnonzero(total > 0).tolist()
    ]
    error = sum(each.weight * abs(each.predicted - each.observed) for each in found)
    brier = float((weight * (p - true) ** 2).sum() / weight.sum())
    return Reliability(tuple(found), error, brier, len(p))


def _checked(
    probabilities: ArrayLike, truths: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    p, true = np.asarray(probabilities, np.float64), np.asarray(truths, np.float64)
    weight = np.ones(p.shape) if weights is None else np.asarray(weights, np.float64)
    if p.ndim != 1 or not p.size or p.shape != true.shape or p.shape != weight.shape:
        raise UsageError(
            f"got {p.shape} probabilities, {true.shape} truths and {weight.shape} weights; expected (n,) of each"
        )
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(true, (0, 1)).all() or not (weight >= 0).all():
        raise UsageError("got a probability outside [0, 1], a truth that is no bool, or a negative weight")
    if not weight.sum() > 0:
        raise UsageError("weights: got only zeros; expected at least one case that counts")
    return p, true, weight
