"""Assignment of local descriptors to the words of a codebook."""

from __future__ import annotations

from math import inf
from typing import Any

from array_api_compat import is_numpy_array

from kindred.arrays import Array, ArrayT, check_whole, namespace
from kindred.errors import UsageError

__all__ = ["nearest_several", "nearest_words", "soft_words"]

BLOCK = 2**18
"""Scores computed at a time, so that a block fits the processor's cache; measured."""
LEAST_ROWS = 256
"""With fewer rows, a matrix product is limited by reading the centres from memory."""


def nearest_words(rows: ArrayT, centres: ArrayT) -> ArrayT:
    """Return the index of the nearest of `centres` (K, D) for each of `rows` (M, D): (M,) int64.

    Nearest by Euclidean distance; among equals, the first.
    """
    xp = namespace(rows, centres)
    half = _half_squares(centres)
    columns = _columns(centres)

    def best(block: Any) -> Any:
        return xp.argmax(_closeness(block, columns, half), axis=1)

    words: ArrayT = _in_blocks(best, rows, centres)
    return words


def nearest_several(rows: ArrayT, centres: ArrayT, n: int) -> ArrayT:
    """Return the `n` nearest of `centres` (K, D) for each of `rows` (M, D), nearest first: (M, n) int64."""
    check_whole(n=n)
    if n > centres.shape[0]:
        raise UsageError(f"n: got {n}; expected at most {centres.shape[0]}, the number of words")
    xp = namespace(rows, centres)
    half, columns = _half_squares(centres), _columns(centres)

    def best(block: Any) -> Any:
        scores, found = _closeness(block, columns, half), []
        for _ in range(n):  # a few passes for the maximum are faster than sorting thousands of scores
            found.append(xp.argmax(scores, axis=1))
            scores[xp.arange(len(scores)), found[-1]] = -inf
        return xp.stack(found, axis=1)

    words: ArrayT = _in_blocks(best, rows, centres)
    return words


def soft_words(logits: ArrayT) -> ArrayT:
    """Return the softmax of each row: (M, K) → (M, K), rows of sum 1."""
    xp: Any = namespace(logits)
    values: Any = logits
    powers = xp.exp(values - xp.max(values, axis=1, keepdims=True))  # of exponents ≤ 0: none overflows
    shares: ArrayT = powers / xp.sum(powers, axis=1, keepdims=True)
    return shares


def _half_squares(centres: Array) -> Any:
    xp: Any = namespace(centres)
    values: Any = centres
    return xp.linalg.vecdot(values, values) / 2


def _columns(centres: Array) -> Any:
    """Return the transpose (D, K), contiguous for the product with many rows."""
    values: Any = centres
    return values.T.copy() if is_numpy_array(values) else values.T


def _closeness(block: Any, columns: Any, half: Any) -> Any:
    """Return x·c − ½|c|², which is larger for nearer centres: (m, D) → (m, K)."""
    scores = namespace(block).matmul(block, columns)
    scores -= half
    return scores


def _in_blocks(function: Any, rows: Any, centres: Any) -> Any:
    """Apply `function` to blocks of rows, so that no (M, K) array is made."""
    xp = namespace(rows)
    step = max(LEAST_ROWS, BLOCK // max(1, centres.shape[0]))
    parts = [function(rows[start : start + step]) for start in range(0, max(1, rows.shape[0]), step)]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
