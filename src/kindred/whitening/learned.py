"""Learned whitening: what differs between images of the same thing counts less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.whitening.base import Whitening, restoring_whitening
from kindred.whitening.moments import BLOCK, moments, upright

__all__ = ["LearnedWhitening"]

FIRST_JITTER = 1e-10
"""What is first added to the diagonal of a matrix that has no Cholesky factor; ten times as much each time."""


@dataclass(frozen=True, eq=False)
class LearnedWhitening(Whitening):
    """A fitted Lw, y = l2(P (x − m)), learned from matching pairs (Radenović, Tolias and Chum 2018).

    mean: m, (D,) float32, that of the query side of the pairs.
    projection: P = Eᵀ L⁻¹, (D_out, D) float32. L is the lower Cholesky factor of the mean of (q − p)(q − p)ᵀ
    over the pairs, so that L⁻¹ makes all directions differ alike within pairs; E rotates to where all vectors
    differ most, that direction first. Nothing is scaled after the rotation. (After Mikolajczyk and Matas 2007.)

    Raises UsageError where shapes do not fit.
    """

    KIND: ClassVar[str] = "learned"

    @classmethod
    def fit(
        cls,
        queries: Vectors | Iterable[Vectors],
        positives: Vectors | Iterable[Vectors],
        rows: Vectors | Iterable[Vectors],
        *,
        dimension: int | None = None,
    ) -> LearnedWhitening:
        """Learn from matching pairs, row i of `queries` with row i of `positives`, and from all `rows`.

        Each is a matrix (n, D) or batches of one; pairs come in batches of equal lengths. `rows` are usually
        all the training images. `dimension` is how many directions to keep (default: D). Raises UsageError
        for fewer pairs than D, which cannot differ in so many directions, and for fewer rows than
        `dimension`; reduce the vectors first (`PCAWhitening`) where there are no more.
        """
        pairs, mean, scatter = _differences(queries, positives)
        width = len(mean)
        if pairs < width:
            raise UsageError(
                f"got {pairs} matching pairs of {width} dimensions; expected at least {width}: "
                "add pairs or reduce the vectors first"
            )
        if not scatter.any():
            raise UsageError(f"got {pairs} pairs of equal vectors; expected different images of the same thing")
        kept = width if dimension is None else dimension
        if not 1 <= kept <= width:
            raise UsageError(f"dimension: got {kept}; expected 1 to {width}, that of the vectors")
        count, centre, covariance = moments(rows)
        if len(centre) != width:
            raise UsageError(f"rows: got {len(centre)} components; expected {width}, as the pairs have")
        if count < kept:
            raise UsageError(f"got {count} rows for {kept} dimensions; expected at least {kept}: add images")
        inverse = np.linalg.inv(_cholesky(scatter))
        shift = centre - mean  # all vectors are seen from the mean of the queries, not from their own
        spread = inverse @ (covariance + np.outer(shift, shift)) @ inverse.T
        _, directions = np.linalg.eigh((spread + spread.T) / 2)  # in rising order, directions are columns
        projection = upright(directions.T[::-1][:kept] @ inverse)
        return cls(mean.astype(np.float32), projection.astype(np.float32))

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> LearnedWhitening:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
        with restoring_whitening(cls.KIND, arrays, "mean", "projection") as (mean, projection):
            return cls(mean.astype(np.float32), projection.astype(np.float32))


def _differences(
    queries: Vectors | Iterable[Vectors], positives: Vectors | Iterable[Vectors]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of pairs, the mean of the queries (D,), the mean of (q − p)(q − p)ᵀ (D, D)."""
    pairs = 0
    for query, positive in _batches(queries, positives):
        if not pairs:
            total, products = np.zeros(query.shape[1]), np.zeros((query.shape[1], query.shape[1]))
        if query.shape != positive.shape or query.shape[1] != len(total):
            raise UsageError(
                f"pairs: got queries {query.shape} and positives {positive.shape}; "
                f"expected equal shapes, {len(total)} components in all batches"
            )
        for start in range(0, len(query), BLOCK):
            block = query[start : start + BLOCK].astype(np.float64)
            difference = block - positive[start : start + BLOCK]
            total += block.sum(axis=0)
            products += difference.T @ difference
        pairs += len(query)
    if not pairs:
        raise UsageError("got no matching pairs to learn a whitening from; expected at least as many as dimensions")
    return pairs, total / pairs, products / pairs


def _batches(
    queries: Vectors | Iterable[Vectors], positives: Vectors | Iterable[Vectors]
) -> Iterator[tuple[Vectors, Vectors]]:
    left, right = ([side] if isinstance(side, np.ndarray) else side for side in (queries, positives))
    for query, positive in zip_longest(left, right):
        if query is None or positive is None:
            raise UsageError("pairs: got more batches on one side than on the other; expected equal numbers")
        if len(query) or len(positive):
            yield as_rows(query, "queries"), as_rows(positive, "positives")


def _cholesky(matrix: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return the lower Cholesky factor; where there is none, of the matrix with as little added as it takes."""
    jitter = 0.0
    while True:
        try:
            return np.linalg.cholesky(matrix + jitter * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            jitter = FIRST_JITTER if jitter == 0 else 10 * jitter
