"""Stacks: the local descriptors of B images in one matrix (M, D), with the number of rows of each image.

Images differ in their number of local descriptors; a stack can be assigned to words without padding and without a
loop over images. The rows of an image are contiguous, images are in order, and an image may have no rows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from array_api_compat import device, is_numpy_array
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Array, floating, namespace, to_numpy
from kindred.errors import UsageError

__all__ = [
    "check_counts",
    "count_cells",
    "in_image_blocks",
    "open_stack",
    "sum_at",
    "sum_soft",
    "sum_words",
]

Real = TypeVar("Real", np.float32, np.float64)

BLOCK_ROWS = 2**14
"""Descriptors processed at a time; with fewer, call overhead dominates (measured)."""


def open_stack(rows: Array, counts: ArrayLike, dimension: int) -> tuple[ModuleType, Any, NDArray[np.int64]]:
    """Check a stack; return the namespace, the rows as float32 or float64 and the counts (B,).

    Raises UsageError for rows that are not (M, `dimension`) and for counts that do not add up to M.
    """
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise UsageError(f"rows: got shape {tuple(rows.shape)}; expected (M, {dimension})")
    return namespace(rows), floating(rows), check_counts(counts, rows.shape[0])


def check_counts(counts: ArrayLike, total: int) -> NDArray[np.int64]:
    """Return `counts` as (B,) int64; raises UsageError unless they are whole numbers that add up to `total`."""
    given = np.asarray(counts)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu") or (given < 0).any():
        raise UsageError(
            f"counts: got {given.dtype} values of shape {given.shape}; expected whole numbers (B,), 0 or more"
        )
    numbers = given.astype(np.int64)
    if numbers.sum() != total:
        raise UsageError(
            f"counts: got a sum of {numbers.sum()} for {total} rows; expected the number of rows of each image"
        )
    return numbers


def count_cells(words: Array, counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Count the rows of each image with each word: words (M,) → (B, `size`)."""
    cells = np.repeat(np.arange(len(counts)) * size, counts) + to_numpy(words)
    return np.bincount(cells, minlength=len(counts) * size).reshape(len(counts), size)


def sum_soft(assignment: Any, rows: Any, counts: NDArray[np.int64]) -> tuple[Any, Any]:
    """Sum the rows of each image weighted by their assignment: (M, K), (M, D) → sums (B, K, D), masses (B, K).

    One matrix product per image; gradients flow to both arguments.
    """
    xp = namespace(rows)
    spans = list(pairwise([0, *np.cumsum(counts).tolist()]))
    if not spans:
        empty = (0, assignment.shape[1], rows.shape[1])
        return xp.zeros(empty, dtype=rows.dtype, device=device(rows)), assignment[:0]
    sums = xp.stack([xp.matmul(assignment[start:end].T, rows[start:end]) for start, end in spans])
    masses = xp.stack([xp.sum(assignment[start:end], axis=0) for start, end in spans])
    return sums, masses


def sum_words(words: Any, rows: Any, counts: NDArray[np.int64], size: int) -> Any:
    """Sum the rows of each image by word: (M,), (M, D) → (B, `size`, D); a word without rows is 0."""
    if is_numpy_array(rows):
        places = np.repeat(np.arange(len(counts)) * size, counts) + words
        return sum_at(places, rows, len(counts) * size).reshape(len(counts), size, rows.shape[1])
    xp = namespace(rows)
    shares = xp.take(xp.eye(size, dtype=rows.dtype, device=device(rows)), words, axis=0)
    return sum_soft(shares, rows, counts)[0]


def sum_at(places: NDArray[np.int64], rows: NDArray[Real], size: int) -> NDArray[Real]:
    """Sum the rows with the same index in 0 … size − 1: (M,), (M, D) → (size, D).

    SciPy's sparse product is thirty times as fast as NumPy, which is the fallback without SciPy.
    """
    try:
        from scipy.sparse import csc_array
    except ImportError:
        sums = np.zeros((size, rows.shape[1]), rows.dtype)
        np.add.at(sums, places, rows)
        return sums
    # With 64-bit indices SciPy would check and convert them.
    kind = np.int32 if max(len(rows), size) < 2**31 else np.int64
    entries = (np.ones(len(rows), rows.dtype), places.astype(kind), np.arange(len(rows) + 1, dtype=kind))
    found: NDArray[Real] = csc_array(entries, shape=(size, len(rows))) @ rows
    return found


def in_image_blocks(
    function: Callable[[Any, NDArray[np.int64]], Any], rows: Any, counts: NDArray[np.int64], width: int
) -> Any:
    """Apply `function`, rows (m, D) and counts (b,) → (b, `width`), to blocks of images: → (B, `width`).

    NumPy writes every intermediate result to memory, so blocks that fit the cache are faster. PyTorch tensors are
    processed at once.
    """
    if not is_numpy_array(rows) or not len(counts):
        return function(rows, counts)
    found = np.empty((len(counts), width), rows.dtype)
    ends = np.cumsum(counts)
    first = low = 0
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(ends, low + BLOCK_ROWS, "right")))
        high = int(ends[last - 1])
        found[first:last] = function(rows[low:high], counts[first:last])
        first, low = last, high
    return found
