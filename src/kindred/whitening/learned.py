"""Learned whitening (Lw): reduces the variance between images of the same object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, as_rows, with_fixed_signs
from kindred.errors import UsageError
from kindred.whitening.base import Whitening, check_dimension, restoring_whitening
from kindred.whitening.moments import BLOCK, moments

__all__ = ["LearnedWhitening", "check_pairs"]

FIRST_JITTER = 1e-10
"""First value added to the diagonal of a matrix without a Cholesky factor; multiplied by ten until it has one."""


@dataclass(frozen=True, eq=False)
class LearnedWhitening(Whitening):
    """A whitening Lw, y = l2(P (x − m)), fitted to matching pairs (Radenović, Tolias and Chum 2018).

    mean: m, (D,) float32, the mean of the queries of the pairs.
    projection: P = Eᵀ L⁻¹, (D_out, D) float32. L is the lower Cholesky factor of the mean of (q − p)(q − p)ᵀ over the
    pairs, so that L⁻¹ gives all directions the same variance within pairs; E rotates to the principal directions of
    all vectors, largest variance first. There is no scaling after the rotation. (After Mikolajczyk and Matas 2007.)

    Raises UsageError if shapes do not match.
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
        """Fit to matching pairs, row i of `queries` with row i of `positives`, and to all `rows`.

        Each is a matrix (n, D) or an iterable of batches; pairs come in batches of equal lengths. `rows` are usually
        all training images. `dimension` is the number of output components (default: D). Raises UsageError for fewer
        pairs than D, which do not span D directions, and for fewer rows than `dimension`; reduce the vectors first
        (`PCAWhitening`) if there are no more.
        """
        pairs, mean, scatter = _differences(queries, positives)
        width = len(mean)
        check_pairs(pairs, width)
        if not scatter.any():
            raise UsageError(f"got {pairs} pairs of equal vectors; expected different images of the same object")
        kept = width if dimension is None else dimension
        check_dimension(kept, width)
        count, centre, covariance = moments(rows)
        if len(centre) != width:
            raise UsageError(f"rows: got {len(centre)} components; expected {width}, as in the pairs")
        if count < kept:
            raise UsageError(f"got {count} rows for {kept} dimensions; expected at least {kept}: add images")
        inverse = np.linalg.inv(_cholesky(scatter))
        shift = centre - mean  # the scatter is taken around the mean of the queries, not that of all vectors
        spread = inverse @ (covariance + np.outer(shift, shift)) @ inverse.T
        _, directions = np.linalg.eigh((spread + spread.T) / 2)  # ascending eigenvalues, directions are columns
        projection = with_fixed_signs(directions.T[::-1][:kept] @ inverse, axis=1)
        return cls(mean.astype(np.float32), projection.astype(np.float32))

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> LearnedWhitening:
        """Restore a whitening from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring_whitening(cls.KIND, arrays, "mean", "projection") as (mean, projection):
            return cls(mean.astype(np.float32), projection.astype(np.float32))


def check_pairs(pairs: int, width: int) -> None:
    """Raise UsageError for too few pairs of vectors of `width` components."""
    if pairs < width:
        raise UsageError(
            f"got {pairs} matching pairs of {width} dimensions; expected at least {width}: "
            "add pairs or reduce the vectors first"
        )


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
        raise UsageError("got no matching pairs to fit a whitening to; expected at least as many as dimensions")
    return pairs, total / pairs, products / pairs


def _batches(
    queries: Vectors | Iterable[Vectors], positives: Vectors | Iterable[Vectors]
) -> Iterator[tuple[Vectors, Vectors]]:
    left, right = ([side] if isinstance(side, np.ndarray) else side for side in (queries, positives))
    for query, positive in zip_longest(left, right):
        if query is None or positive is None:
            raise UsageError("pairs: got different numbers of batches of queries and positives; expected equal numbers")
        if len(query) or len(positive):
            yield as_rows(query, "queries"), as_rows(positive, "positives")


def _cholesky(matrix: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return the lower Cholesky factor of the matrix, with the least jitter on the diagonal if it has none."""
    jitter = 0.0
    while True:
        try:
            return np.linalg.cholesky(matrix + jitter * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            jitter = FIRST_JITTER if jitter == 0 else 10 * jitter
