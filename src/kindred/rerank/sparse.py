"""Sparse rows over the images of a gallery: what a graph and a spread have in common."""

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

    ids: (N,) int64, ascending; row and column i are those of image `ids[i]`. Row i has the columns
    `indices[indptr[i]:indptr[i + 1]]`, ascending, and there the `weights`, float32 above 0. Raises UsageError where the
    arrays do not fit.
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
        """Return the rows (n,) of `ids` (n,), −1 for an id that is not here."""
        return places_in(self.ids, ids)

    def entries(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the entries of `rows` (n,) lie in indices and weights, (E,), and how many each has, (n,)."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        firsts = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.indptr[rows] - firsts, counts), counts

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be stored, for `numpy.savez`."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
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
    """Return where `ids` (n,) are among `known` (N,), which ascend: (n,), −1 for one that is not there."""
    if not len(known):
        return np.full(len(ids), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[found] == ids, found, -1)


def row_sums(starts: NDArray[np.int64], counts: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (n,) of n consecutive stretches of values, 0 for an empty one."""
    sums = np.zeros(len(counts))
    rows = np.flatnonzero(counts)  # reduceat would give an empty stretch the value that follows it
    if rows.size:
        sums[rows] = np.add.reduceat(values, starts[rows])
    return sums
