"""Following: an index in memory, in step with a store."""

from __future__ import annotations

from threading import RLock
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.id_map import IdMap
from kindred.ranking import Ranking
from kindred.store import SqliteStore

__all__ = ["MutableIndex", "SyncedIndex"]


class MutableIndex(Protocol):
    """An index that takes rows and gives them up again."""

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        ...

    @property
    def live(self) -> IdMap:
        """The ids of the rows."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        ...

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; return how many were here."""
        ...

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` for queries (Q, D)."""
        ...


class SyncedIndex:
    """Search the vectors of `store` by an index in memory: codes, or an inverted file; any thread may use it.

    It is filled at the first search and follows what is committed after it.
    """

    def __init__(self, store: SqliteStore, index: MutableIndex) -> None:
        self._store, self._index = store, index
        self._revision = -1
        self._lock = RLock()

    def __len__(self) -> int:
        """Return the number of vectors, as of the last `sync`."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """The bytes that the index takes."""
        return self._index.nbytes

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), with all that was committed before the call."""
        self.sync()
        return self._index.search(queries, k, allowed=allowed)

    def sync(self) -> None:
        """Take over what any process committed since the last call; next to nothing where nothing changed."""
        with self._lock:
            revision = self._store.revision
            if revision == self._revision:
                return
            for ids, rows in self._store.vectors(after_id=self._index.live.last):
                self._index.add(ids, rows)
            # Removals may run ahead of the revision read before; the next call meets them again, which does no harm.
            self._index.remove(self._store.removed_since(self._revision))
            self._revision = revision
