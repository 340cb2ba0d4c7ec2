"""Principal directions: in which vectors vary most, whatever their dimension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.whitening.moments import moments

__all__ = ["HELD", "WIDE", "principal_directions"]

WIDE = 4096
"""Components above which the directions come from the rows' own products, not from the covariance: of 8,192 components
that takes half a gigabyte, and the work of its eigenvectors grows with the cube."""
HELD = 6000
"""Rows of such vectors that are looked at; those after them are left out."""

Directions = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def principal_directions(batches: Vectors | Iterable[Vectors]) -> Directions:
    """Return the number of rows, their mean (D,), variances in falling order (n,) and their directions (n, D).

    Rows come all at once (N, D) or in batches (n, D). Up to `WIDE` components n is D and no more than one batch is
    held; above, n is less than the number of rows, of which `HELD` are held at most. Raises UsageError for no rows.
    """
    remaining = iter([batches] if isinstance(batches, np.ndarray) else batches)
    first = next((batch for batch in remaining if len(batch)), None)
    if first is not None and np.ndim(first) == 2 and np.shape(first)[1] > WIDE:
        return _from_products(np.concatenate(list(_held(chain((first,), remaining)))))
    count, mean, covariance = moments(remaining if first is None else chain((first,), remaining))
    variances, directions = np.linalg.eigh(covariance)  # in rising order, directions are columns
    return count, mean, variances[::-1], directions.T[::-1]


def _held(batches: Iterable[Vectors]) -> Iterator[Vectors]:
    held = 0
    for batch in batches:
        rows = as_rows(batch, "rows")[: HELD - held]
        if len(rows):
            yield rows
        held += len(rows)
        if held == HELD:
            return


def _from_products(rows: Vectors) -> Directions:
    """The eigenvectors of X Xᵀ / N give those of Xᵀ X / N: v = Xᵀ u / |Xᵀ u|, with the same eigenvalues."""
    count = len(rows)
    if count < 2:
        raise UsageError(f"got {count} rows of {rows.shape[1]} components; expected at least 2")
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean.astype(np.float32)
    products = (centred @ centred.T).astype(np.float64) / count
    variances, columns = np.linalg.eigh(products)
    # The last is the mean's own direction, along which centred rows do not vary.
    variances, columns = variances[:0:-1], columns[:, :0:-1]
    directions = columns.T @ centred
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return count, mean, variances, directions / np.where(norms > 0, norms, 1.0)
