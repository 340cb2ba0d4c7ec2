"""Ranking: ids and scores, returned by every search, taken and returned by every re-ranker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError

__all__ = ["Ranking", "copies_text", "no_answer_text", "probability_text", "score_text"]

Scalar = TypeVar("Scalar", np.int64, np.float32)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The results of Q queries, best first; validated when it is made, its arrays are read-only copies.

    ids: (Q, K) int64, the results; −1 pads a row with fewer than K results.
    scores: (Q, K) float32, higher is better, non-increasing along a row; −inf exactly where the id is −1.
    boxes: (Q, K, 4) float32 x0 y0 x1 y1 in pixels of the original image, the region that matched; or None.
    probabilities: (Q, K) float32 in [0, 1], that a result shows the same thing as the query, NaN where unknown; or
    None, unless a calibrated re-ranker made the ranking.

    Raises UsageError if shapes differ, scores rise or are NaN, or padding is not at the end.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not np.issubdtype(np.asarray(self.ids).dtype, np.integer):
            raise UsageError(f"ids: got {np.asarray(self.ids).dtype} values; expected whole numbers (Q, K)")
        object.__setattr__(self, "ids", _frozen(self.ids, np.int64))
        object.__setattr__(self, "scores", _frozen(self.scores, np.float32))
        if self.boxes is not None:
            object.__setattr__(self, "boxes", _frozen(self.boxes, np.float32))
        if self.probabilities is not None:
            object.__setattr__(self, "probabilities", _frozen(self.probabilities, np.float32))
        self._check_shapes()
        self._check_order()

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.ids)

    def top(self, k: int) -> Ranking:
        """Return the best `k` results of every query, or all if there are fewer."""
        if k < 1:
            raise UsageError(f"k: got {k}; expected at least 1")
        boxes = None if self.boxes is None else self.boxes[:, :k]
        probabilities = None if self.probabilities is None else self.probabilities[:, :k]
        return Ranking(self.ids[:, :k], self.scores[:, :k], boxes, probabilities)

    def _check_shapes(self) -> None:
        if self.ids.ndim != 2:
            raise UsageError(f"ids: got shape {self.ids.shape}; expected (Q, K)")
        if self.scores.shape != self.ids.shape:
            raise UsageError(f"scores: got shape {self.scores.shape}; expected that of ids, {self.ids.shape}")
        if self.boxes is not None and self.boxes.shape != (*self.ids.shape, 4):
            raise UsageError(f"boxes: got shape {self.boxes.shape}; expected {(*self.ids.shape, 4)}")
        if self.probabilities is None:
            return
        if self.probabilities.shape != self.ids.shape:
            raise UsageError(
                f"probabilities: got shape {self.probabilities.shape}; expected that of ids, {self.ids.shape}"
            )
        if ((self.probabilities < 0) | (self.probabilities > 1)).any():
            raise UsageError("probabilities: got one outside [0, 1]; expected probabilities, NaN where unknown")

    def _check_order(self) -> None:
        unranked = np.isnan(self.scores).any(axis=1)
        if unranked.any():
            raise UsageError(f"scores: row {np.argmax(unranked)} holds NaN; expected numbers")
        rising = (self.scores[:, 1:] > self.scores[:, :-1]).any(axis=1)
        if rising.any():
            raise UsageError(f"scores: row {np.argmax(rising)} rises; expected the best result first")
        stray = ((self.ids < 0) != np.isneginf(self.scores)) | (self.ids < -1)
        if stray.any():
            row = np.argmax(stray.any(axis=1))
            raise UsageError(f"ids: row {row} pads wrongly; expected -1 exactly where the score is -inf")


def score_text(score: float) -> str:
    """Format a score for display: three decimals below 10 (cosines), none above (counts of inliers)."""
    return f"{score:.3f}" if abs(score) < 10 else f"{score:.0f}"


def probability_text(probability: float) -> str:
    """Format a probability for display, in whole percent.

    >>> probability_text(0.724), probability_text(0.9999), probability_text(0.0)
    ('72 %', '>99 %', '<1 %')
    """
    if probability > 0.995:
        return ">99 %"
    return "<1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def copies_text(copies: int) -> str:
    """Return how many copies of the query were left out of its results, "" for none.

    >>> copies_text(1), copies_text(2), copies_text(0)
    ('1 copy of the query was left out', '2 copies of the query were left out', '')
    """
    if not copies:
        return ""
    return f"{copies:,} {'copy' if copies == 1 else 'copies'} of the query {'was' if copies == 1 else 'were'} left out"


def no_answer_text(copies: int = 0) -> str:
    """Return the line above results none of which is probable; `copies` of the query were left out."""
    which = "No other image" if copies else "No image"
    aside = f" ({copies_text(copies)})" if copies else ""
    return f"{which} of this library probably shows the same thing{aside}. The most similar ones:"


def _frozen(values: NDArray[Scalar], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return a read-only copy of `values` as `dtype`."""
    copy = np.array(values, dtype=dtype, order="C")
    copy.flags.writeable = False
    return copy
