"""Means and covariances of any number of rows, block by block."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError

__all__ = ["BLOCK", "moments"]

BLOCK = 4096
"""Rows converted to double precision at a time."""


def moments(batches: Vectors | Iterable[Vectors]) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of rows, their mean (D,) and their covariance (D, D) (over N), in one pass.

    Rows come all at once (N, D) or in batches (n, D), of which one is in memory at a time. Raises UsageError for no
    rows, or rows of different dimensions.
    """
    count = 0
    for batch in [batches] if isinstance(batches, np.ndarray) else batches:
        rows = as_rows(batch, "rows")
        if not len(rows):
            continue
        if not count:
            # The first batch's mean is subtracted: sums of squares far from 0 would cancel.
            origin = rows.mean(axis=0, dtype=np.float64)
            total, products = np.zeros_like(origin), np.zeros((len(origin), len(origin)))
        elif rows.shape[1] != len(origin):
            raise UsageError(f"rows: got {rows.shape[1]} components after {len(origin)}; expected all alike")
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK] - origin
            total += block.sum(axis=0)
            products += block.T @ block
        count += len(rows)
    if not count:
        raise UsageError("got no rows to fit a whitening to; expected more rows than dimensions")
    shift = total / count
    return count, origin + shift, products / count - np.outer(shift, shift)
