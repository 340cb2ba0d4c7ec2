"""Similarity of two sets of vectors: queries (Q, D) and rows (N, D) → (Q, N).

Higher is more similar: distances are negated, so that their best score is 0. Functions take NumPy arrays or PyTorch
tensors and return the same kind; gradients flow in PyTorch. Half precision is computed in float32. The score of a
vector with NaN is NaN. `SIMILARITIES` is the table of them all.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from kindred.arrays import ArrayT, floating, l2_normalise, namespace
from kindred.errors import UsageError

__all__ = ["SIMILARITIES", "chi_square", "cosine", "dot", "euclidean", "l1"]

BLOCK = 2**18
"""Components of the rows compared at a time, so that a block fits the processor's cache; measured."""


def cosine(queries: ArrayT, rows: ArrayT) -> ArrayT:
    """Return the cosine of the angle, in [−1, 1]; 0 if either vector is zero."""
    xp, left, right = _open(queries, rows)
    scores: ArrayT = xp.matmul(l2_normalise(left), l2_normalise(right).T)
    return scores


def dot(queries: ArrayT, rows: ArrayT) -> ArrayT:
    """Return the dot product; for unit vectors, the cosine."""
    xp, left, right = _open(queries, rows)
    scores: ArrayT = xp.matmul(left, right.T)
    return scores


def euclidean(queries: ArrayT, rows: ArrayT) -> ArrayT:
    """Return the negative Euclidean distance, in (−∞, 0]; for unit vectors it ranks as the cosine does.

    |q|² + |r|² − 2 q·r cancels for vectors that are close, so it is computed in double precision: in single
    precision, equal unit vectors have a distance of 0.0005.
    """
    xp, left, right = _open(queries, rows)
    wide = xp.astype(left, xp.float64)
    squares = xp.linalg.vecdot(wide, wide)[:, None]

    def negative_distances(block: Any) -> Any:
        block = xp.astype(block, xp.float64)
        squared = squares + xp.linalg.vecdot(block, block) - 2 * xp.matmul(wide, block.T)
        apart = ~(squared <= 0)  # True for NaN, which must not become 0, the best distance
        # 1 replaces 0, where the square root has no finite gradient.
        return xp.astype(xp.where(apart, -xp.sqrt(xp.where(apart, squared, 1.0)), 0.0), left.dtype)

    scores: ArrayT = _in_blocks(xp, negative_distances, right)
    return scores


def l1(queries: ArrayT, rows: ArrayT) -> ArrayT:
    """Return the negative sum of absolute differences, in (−∞, 0]."""
    xp, left, right = _open(queries, rows)
    scores: ArrayT = _each(xp, lambda query, block: -xp.sum(xp.abs(block - query), axis=-1), left, right)
    return scores


def chi_square(queries: ArrayT, rows: ArrayT) -> ArrayT:
    """Return the negative χ² distance −½ Σ (a − b)² / (a + b), in (−∞, 0]; terms with a = b = 0 are 0.

    It compares histograms: raises UsageError for negative components, which whitened vectors have.
    """
    xp, left, right = _open(queries, rows)
    if bool(xp.any(left < 0)) or bool(xp.any(right < 0)):
        raise UsageError("chi_square: got negative components; expected histograms, such as vectors without whitening")

    def negative_distances(query: Any, block: Any) -> Any:
        total, difference = block + query, block - query
        return -0.5 * xp.sum(difference * difference / xp.where(total > 0, total, 1.0), axis=-1)

    scores: ArrayT = _each(xp, negative_distances, left, right)
    return scores


def _open(queries: ArrayT, rows: ArrayT) -> tuple[ModuleType, Any, Any]:
    """Check that both are matrices of equal width; return their namespace and both in one floating type."""
    xp = namespace(queries, rows)
    if queries.ndim != 2 or rows.ndim != 2 or queries.shape[1] != rows.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(rows.shape)}"
        raise UsageError(f"queries and rows: got shapes {shapes}; expected (Q, D) and (N, D)")
    left: Any = floating(queries)
    right: Any = floating(rows)
    wider = xp.result_type(left, right)
    return xp, xp.astype(left, wider, copy=False), xp.astype(right, wider, copy=False)


def _each(xp: ModuleType, function: Callable[[Any, Any], Any], queries: Any, rows: Any) -> Any:
    """Apply `function`, (D,) and (n, D) → (n,), to every query and every block of rows: (Q, N)."""
    if not queries.shape[0]:
        return xp.matmul(queries, rows.T)
    return _in_blocks(xp, lambda block: xp.stack([function(query, block) for query in queries]), rows)


def _in_blocks(xp: ModuleType, function: Callable[[Any], Any], rows: Any) -> Any:
    """Apply `function`, (n, D) → (Q, n), to blocks of rows, so that no (Q, N, D) array is made."""
    step = max(1, BLOCK // max(1, rows.shape[1]))
    parts = [function(rows[start : start + step]) for start in range(0, max(1, rows.shape[0]), step)]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)


SIMILARITIES: dict[str, Callable[[ArrayT, ArrayT], ArrayT]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "l1": l1,
    "chi_square": chi_square,
}
"""Queries (Q, D), rows (N, D) → scores (Q, N), higher is more similar."""
