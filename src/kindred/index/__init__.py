"""Search indexes: rows in, the best k for a query out.

An index is derived: it can always be made again from the store. `ExactIndex` compares a query with every
row and needs only NumPy; `HNSWIndex` walks a graph of neighbours (FAISS) and meets a thousandth of a million
rows; `CodedIndex` holds a few bytes of each. `SnapshotIndex` is what a library uses: it keeps the right one of the
first two in step with the store. `InvertedFile` is for rows of mostly zeros, as bags of words are; a
`SyncedIndex` keeps it, or codes, in step. `MultiVectorIndex` is for images that are several rows each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.coded import CodedIndex
from kindred.index.exact import ExactIndex
from kindred.index.hnsw import HNSW_SIMILARITIES, HNSWIndex, HNSWSettings
from kindred.index.inverted import InvertedFile
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.snapshot import SnapshotIndex, SnapshotPolicy
from kindred.index.synced import SyncedIndex
from kindred.ranking import Ranking

__all__ = [
    "HNSW_SIMILARITIES",
    "CodedIndex",
    "ExactIndex",
    "HNSWIndex",
    "HNSWSettings",
    "Index",
    "InvertedFile",
    "MultiVectorIndex",
    "SnapshotIndex",
    "SnapshotPolicy",
    "SyncedIndex",
]


class Index(Protocol):
    """What every index of one row an image can do."""

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        ...

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        ...

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` for queries (Q, D), among the ids in `allowed` only if that is given."""
        ...

    def save(self, file: Path) -> int:
        """Write the index to `file`, which appears there complete or not at all; return its checksum."""
        ...

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote. Raises LibraryDamaged for a file cut off, changed or of another kind."""
        ...
