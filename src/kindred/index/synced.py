"""Indexes in memory that stay in step with a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.forks import ForkSafeLock
from kindred.errors import UsageError
from kindred.index.protocol import ExhaustiveEngine, Queries, RowSource
from kindred.index.selection import Select, Selection
from kindred.matching import ImageRows
from kindred.ranking import Ranking
from kindred.store import Filter, VisualWords

__all__ = ["Synced", "SyncedIndex", "VectorEngine", "as_vectors"]

Query = TypeVar("Query")


class VectorEngine(ExhaustiveEngine[ArrayLike], Protocol):
    """An engine for one vector per id that compares a query with all of them."""

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), in ascending order, all above the ids before."""
        ...


class Synced(ABC, Generic[Query]):
    """An index over `source` by an engine in memory, for queries of the type `Query`. Thread-safe.

    The engine is filled at the first search; later searches apply the changes committed since. `select` returns the ids
    that pass a filter. approximate: whether the engine's search is approximate.
    """

    def __init__(
        self, source: RowSource, select: Select, engine: ExhaustiveEngine[Query], *, approximate: bool = False
    ) -> None:
        self._source, self._engine = source, engine
        self._selection = Selection(source, select)
        self._approximate = approximate
        self._revision = -1
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        """Return the number of vectors, or of images of several rows, as of the last `sync`."""
        return len(self._engine)

    @property
    def nbytes(self) -> int:
        """Size of the engine in bytes, without ids."""
        return self._engine.nbytes

    @property
    def approximate(self) -> bool:
        """Whether results are chosen or scored by codes."""
        return self._approximate

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` ids for the queries, as `Index.search` does."""
        wanted = self._checked_queries(queries)
        self.sync()
        return self._engine.search(wanted, k, allowed=self._selection.ids(where))

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all rows or images, in order of id."""
        wanted = self._checked_queries(queries)
        self.sync()
        return self._engine.scores(wanted)

    def sync(self) -> None:
        """Apply the changes that any process has committed since the last call; fast if no vectors changed."""
        with self._lock:
            revision = self._source.vectors_revision
            if revision != self._revision:
                # May include changes after `revision`; the next call repeats them, which is harmless.
                self._apply_changes(self._revision)
                self._revision = revision

    def renew(self) -> None:
        """Do nothing, as the index is in memory only."""

    @abstractmethod
    def _checked_queries(self, queries: Queries) -> Query:
        """Return queries in the type of the engine; raises UsageError for queries of another kind."""

    @abstractmethod
    def _apply_changes(self, since: int) -> None:
        """Apply the changes after the revision `since` to the engine; −1 the first time."""


class SyncedIndex(Synced[ArrayLike]):
    """Search of the vectors of `source` by an engine in memory: exact, by codes, or an inverted file."""

    def __init__(self, source: RowSource, engine: VectorEngine, *, approximate: bool = False) -> None:
        super().__init__(source, source.select, engine, approximate=approximate)
        self._add: Callable[[ArrayLike, ArrayLike], None] = engine.add

    def _checked_queries(self, queries: Queries) -> ArrayLike:
        return as_vectors(queries)

    def _apply_changes(self, since: int) -> None:
        for ids, rows in self._source.vectors(after_id=self._engine.live.last):
            self._add(ids, rows)
        self._engine.remove(self._source.removed_since(since))


def as_vectors(queries: Queries) -> ArrayLike:
    """Return query vectors (Q, D), whose shape the engine checks; raises UsageError for the rows of an image."""
    if isinstance(queries, VisualWords):
        raise UsageError("search: got visual words; one vector of each image is compared here")
    if isinstance(queries, ImageRows):
        raise UsageError("search: got the rows of an image; this index compares one vector per image: give a vector")
    return queries
