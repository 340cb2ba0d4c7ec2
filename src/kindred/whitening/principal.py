"""Principal directions of vectors of any dimension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.whitening.moments import moments

__all__ = ["MOST_COMPONENTS", "MOST_ROWS", "principal_directions"]

MOST_COMPONENTS = 4096
"""Dimension above which the directions are computed from the Gram matrix of the rows instead of their covariance,
which takes half a gigabyte at 8,192 components and whose eigendecomposition takes cubic time."""
MOST_ROWS = 6000
"""Rows of such vectors that are used; further rows are ignored."""

Directions = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def principal_directions(batches: Vectors | Iterable[Vectors]) -> Directions:
    """Return the number of rows, their mean (D,), variances in falling order (n,) and their directions (n, D).

    Rows come all at once (N, D) or in batches (n, D). Up to `MOST_COMPONENTS` components n is D, and one batch is in
    memory at a time; above, n is less than the number of rows, at most `MOST_ROWS` of which are used. Raises
    UsageError for no rows.
    """
    remaining = iter([batches] if isinstance(batches, np.ndarray) else batches)
    first = next((batch for batch in remaining if len(batch)), None)
    if first is not None and np.ndim(first) == 2 and np.shape(first)[1] > MOST_COMPONENTS:
        return _from_products(np.concatenate(list(_first_rows(chain((first,), remaining)))))
    count, mean, covariance = moments(remaining if first is None else chain((first,), remaining))
    variances, directions = np.linalg.eigh(covariance)  # ascending, directions are columns
    return count, mean, variances[::-1], directions.T[::-1]


def _first_rows(batches: Iterable[Vectors]) -> Iterator[Vectors]:
    taken = 0
    for batch in batches:
        rows = as_rows(batch, "rows")[: MOST_ROWS - taken]
        if len(rows):
            yield rows
        taken += len(rows)
        if taken == MOST_ROWS:
            return


def _from_products(rows: Vectors) -> Directions:
    """Compute the directions from the Gram matrix: X Xᵀ / N has the eigenvalues of Xᵀ X / N, and v = Xᵀ u / |Xᵀ u|."""
    count = len(rows)
    if count < 2:
        raise UsageError(f"got {count} rows of {rows.shape[1]} components; expected at least 2")
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean.astype(np.float32)
    products = (centred @ centred.T).astype(np.float64) / count
    variances, columns = np.linalg.eigh(products)
    # The last eigenvalue is 0: N centred rows span N − 1 directions.
    variances, columns = variances[:0:-1], columns[:, :0:-1]
    directions = columns.T @ centred
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return count, mean, variances, directions / np.where(norms > 0, norms, 1.0)
