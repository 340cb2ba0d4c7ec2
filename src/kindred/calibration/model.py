"""Calibration: the probability that a candidate shows the same thing as the query, from cosine and inliers.

The log-odds are

    bias + cosine · s + best · s* + margin · m + w(s*) · log(1 + max(0, n − 8))
    w(s*) = sure + (unsure − sure) / (1 + exp((s* − turn) / width))

of a candidate with cosine s and n inliers, weighted by how closely they agree. s* is the best cosine of all candidates
of the query and m how far the 21st is below it: a query that many images resemble equally is less likely to be
answered. A best cosine far below `turn` says that the descriptor is unsure of this query, as of flat printed things
seen askew; then inliers count fully (`unsure`). Far above, as on scenes where many wrong images share a wall or a shelf
with the query, they count little (`sure`). As `unsure` ≥ `sure` ≥ 0, inliers never move a candidate down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.npz import restoring
from kindred.calibration.evidence import Evidence, Floats
from kindred.errors import ModelError

__all__ = ["CHANCE", "LINE", "Calibration", "probabilities_of"]

CHANCE = 8
"""Up to so many inliers count for nothing: of 1,000 unrelated pairs of images, one has more than 6 (measured)."""
LINE = 0.5
"""The probability below which a result is probably not the same thing."""
LARGEST = 1e3
"""The largest absolute value of a parameter; fitted ones are below 30."""
LARGEST_ODDS = 60.0
"""Log-odds are limited to ±60, so that the order survives single precision and no probability overflows."""


@dataclass(frozen=True)
class Calibration:
    """A fitted model: plain numbers, named as in the formula above.

    unverified_…: of candidates that were not verified, because the query has no local features. Raises ModelError for a
    number that is not finite or too large, for inliers or cosines that would move a candidate down, and for a width
    that is not above 0.
    """

    bias: float
    cosine: float
    best: float
    margin: float
    unsure: float
    sure: float
    turn: float
    width: float
    unverified_bias: float
    unverified_cosine: float
    unverified_best: float
    unverified_margin: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not abs(value) <= LARGEST:  # NaN compares false
                raise ModelError(f"calibration: {name} is {value}; expected a number of at most {LARGEST:g}")
        if not self.unsure >= self.sure >= 0 or min(self.cosine, self.unverified_cosine) < 0:
            raise ModelError(
                f"calibration: got weights {self.unsure:g} ≥ {self.sure:g} of inliers and {self.cosine:g} of cosines; "
                "expected none below 0, and that of unsure queries as the larger one"
            )
        if self.width <= 0:
            raise ModelError(f"calibration: width is {self.width:g}; expected a number above 0")

    def log_odds(self, evidence: Evidence) -> Floats:
        """Return the log-odds (N,) that each candidate shows the same thing as its query, within ±60."""
        verified = _linear(evidence, self.bias, self.cosine, self.best, self.margin)
        verified += self.weights(evidence.best) * above_chance(np.nan_to_num(evidence.inliers))
        unverified = _linear(
            evidence, self.unverified_bias, self.unverified_cosine, self.unverified_best, self.unverified_margin
        )
        odds = np.where(np.isnan(evidence.inliers), unverified, verified)
        return np.clip(odds, -LARGEST_ODDS, LARGEST_ODDS)

    def weights(self, best: ArrayLike) -> Floats:
        """Return how much inliers count (N,) for queries with these best cosines (N,)."""
        unsureness = probabilities_of((self.turn - np.asarray(best, np.float64)) / self.width)
        weights: Floats = self.sure + (self.unsure - self.sure) * unsureness
        return weights

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as arrays, for `numpy.savez`."""
        return {name: np.array(value, np.float64) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore what `to_arrays` returned. Raises ModelError if a number is missing or invalid."""
        names = [each.name for each in fields(cls)]
        with restoring("calibration", arrays, *names) as found:
            if any(each.shape != () or each.dtype.kind not in "fiu" for each in found):
                raise ValueError("expected one number of each name")
            return cls(**{name: float(each) for name, each in zip(names, found, strict=True)})


def _linear(evidence: Evidence, bias: float, cosine: float, best: float, margin: float) -> Floats:
    """Return the part of the log-odds (N,) that does not depend on inliers."""
    return bias + cosine * evidence.cosines + best * evidence.best + margin * evidence.margin


def above_chance(inliers: ArrayLike) -> Floats:
    """Return log(1 + max(0, n − 8)) of counts of inliers (N,)."""
    found: Floats = np.log1p(np.maximum(np.asarray(inliers, np.float64) - CHANCE, 0))
    return found


def probabilities_of(odds: ArrayLike) -> Floats:
    """Return 1 / (1 + e^−x) of log-odds of any shape.

    >>> probabilities_of([0.0, 100.0]).tolist()
    [0.5, 1.0]
    """
    x = np.asarray(odds, np.float64)
    small = np.exp(-np.abs(x))  # never overflows
    found: Floats = np.where(x >= 0, 1, small) / (1 + small)
    return found
