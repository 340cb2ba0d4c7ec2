"""Evidence: what is known of the candidates of a query before it is said which of them show the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.errors import UsageError

__all__ = ["Evidence", "Labelled", "copies_of"]

COPY = 0.995
"""The cosine from which a candidate is a copy of the query: often the query itself, if that is in the library.

It says nothing about which others show the same thing. Descriptors of one file differ by less than 0.001, those of a
re-encoded copy by 0.001 to 0.02.
"""
CONTRAST = 20
"""The position, from 0, of the candidate whose cosine is compared with the best one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """N candidates, of one query or of several.

    cosines: (N,) in [−1, 1], of the descriptors of query and candidate. best: (N,), the largest cosine of the
    candidates of the same query, without its copies (`copies_of`) unless there are no others. margin: (N,), how far the
    21st largest of these, or the last, is below it. inliers: (N,), the
    keypoints that agree on one change of view, weighted by how closely (`kindred.rerank.verification.Match.support`), 0
    for none; NaN where the query has no local features. Raises UsageError if lengths differ.
    """

    cosines: Floats
    best: Floats
    margin: Floats
    inliers: Floats

    def __post_init__(self) -> None:
        shapes = {each.shape for each in (self.cosines, self.best, self.margin, self.inliers)}
        if len(shapes) > 1 or self.cosines.ndim != 1:
            raise UsageError(f"got arrays of shapes {', '.join(map(str, sorted(shapes)))}; expected (N,) of each")

    def __len__(self) -> int:
        """Return N, the number of candidates."""
        return len(self.cosines)

    @classmethod
    def of_query(cls, cosines: ArrayLike, inliers: ArrayLike | None = None) -> Evidence:
        """Return the evidence of all candidates of one query; without `inliers` its local features are unknown."""
        known = np.asarray(cosines, np.float64)
        copies = copies_of(known)
        others = known if copies.all() else known[~copies]
        descending = -np.sort(-others) if others.size else np.zeros(1)
        best, contrast = descending[0], descending[min(CONTRAST, len(descending) - 1)]
        counted = np.full(known.shape, np.nan) if inliers is None else np.asarray(inliers, np.float64)
        return cls(known, np.full(known.shape, best), np.full(known.shape, best - contrast), counted)

    @classmethod
    def concatenated(cls, parts: Sequence[Evidence]) -> Evidence:
        """Return the candidates of several queries, one after another."""
        return cls(
            np.concatenate([each.cosines for each in parts]),
            np.concatenate([each.best for each in parts]),
            np.concatenate([each.margin for each in parts]),
            np.concatenate([each.inliers for each in parts]),
        )

    def first(self, count: int) -> Evidence:
        """Return the first candidates; `best` and `margin` remain those of all."""
        return Evidence(self.cosines[:count], self.best[:count], self.margin[:count], self.inliers[:count])


def copies_of(cosines: ArrayLike) -> NDArray[np.bool_]:
    """Return which candidates with these cosines (N,) are copies of the query, (N,)."""
    found: NDArray[np.bool_] = np.asarray(cosines) >= COPY
    return found


@dataclass(frozen=True, eq=False)
class Labelled:
    """The candidates of Q queries of one set with what is true of them, to fit a calibration on and to test it.

    evidence: of N candidates. same: (N,) bool, whether the candidate shows the same thing as the query. queries:
    (N,) int64, the number of the query, each in one run. Raises UsageError if lengths differ.
    """

    name: str
    evidence: Evidence
    same: NDArray[np.bool_]
    queries: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not (self.same.shape == self.queries.shape == self.evidence.cosines.shape):
            raise UsageError(
                f"got {len(self.evidence)} candidates, {self.same.shape} labels and {self.queries.shape} queries; "
                "expected as many of each"
            )

    def __len__(self) -> int:
        """Return Q, the number of queries."""
        return len(self.starts)

    @property
    def starts(self) -> NDArray[np.int64]:
        """The position of the first candidate of each query (Q,)."""
        return np.flatnonzero(np.diff(self.queries, prepend=-1))

    def first(self, scores: Floats) -> NDArray[np.int64]:
        """Return for each query the position of its candidate of the highest score (Q,)."""
        ends = np.append(self.starts, len(scores))[1:]
        return np.array([low + int(scores[low:high].argmax()) for low, high in zip(self.starts, ends, strict=True)])
