"""Sparse matrices between the images of a gallery: the base of graphs and of offline diffusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ModelError, UsageError

__all__ = ["SparseRows", "places_in", "row_sums"]

ARRAYS = {"ids": np.int64, "indptr": np.int64, "indices": np.int32, "weights": np.float32}


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse matrix (N, N) of positive weights between N images; its arrays are read-only.

    ids: (N,) int64, ascending; row and column i are those of image `ids[i]`. indptr, indices, weights: the matrix in
    CSR form, with ascending columns in each row and weights float32 above 0. Raises UsageError if the arrays do not
    match.
    """

    ids: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self._is_sound():
            shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in ARRAYS)
            raise UsageError(f"got {shapes}; expected N ascending ids and the sparse rows of a matrix (N, N)")
        for name in ARRAYS:
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows (n,) of `ids` (n,), −1 for an unknown id."""
        return places_in(self.ids, ids)

    def entries(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions (E,) in indices and weights of the entries of `rows` (n,), and their counts (n,)."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        firsts = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.indptr[rows] - firsts, counts), counts

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the matrix as arrays, for `numpy.savez`."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore the matrix from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise ModelError(f"graph: {', '.join(missing)} missing; build it again")
        try:
            numbers = {name: arrays[name].astype(dtype, copy=False) for name, dtype in ARRAYS.items()}
            return cls(**numbers)
        except (UsageError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"graph: damaged ({error}); build it again") from None

    def _is_sound(self) -> bool:
        count, entries = len(self.ids), len(self.indices)
        if self.indptr.shape != (count + 1,) or self.indptr[0] != 0 or self.indptr[-1] != entries:
            return False
        if self.weights.shape != (entries,) or (np.diff(self.indptr) < 0).any() or (np.diff(self.ids) <= 0).any():
            return False
        return not entries or bool(self.indices.min() >= 0 and self.indices.max() < count and self.weights.min() > 0)


def places_in(known: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions (n,) of `ids` (n,) in `known` (N,), which is ascending; −1 for an unknown id."""
    if not len(known):
        return np.full(len(ids), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[found] == ids, found, -1)


def row_sums(starts: NDArray[np.int64], counts: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (n,) of n consecutive runs of values, 0 for an empty run."""
    sums = np.zeros(len(counts))
    rows = np.flatnonzero(counts)  # reduceat would give an empty run the value that follows it
    if rows.size:
        sums[rows] = np.add.reduceat(values, starts[rows])
    return sums
