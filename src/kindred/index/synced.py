"""Following: an index in memory, in step with the store or the rows that it is made of."""

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

Asked = TypeVar("Asked")


class VectorEngine(ExhaustiveEngine[ArrayLike], Protocol):
    """An engine for one vector a row that compares a query with all of them."""

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before."""
        ...


class Synced(ABC, Generic[Asked]):
    """An index over `source` by an engine in memory, which answers queries of the kind `Asked`.

    It is filled at the first search and follows what is committed after it. `select` gives the ids of the engine that a
    filter lets through. approximate: whether the engine is.
    """

    def __init__(
        self, source: RowSource, select: Select, engine: ExhaustiveEngine[Asked], *, approximate: bool = False
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
        """The bytes that the engine takes."""
        return self._engine.nbytes

    @property
    def approximate(self) -> bool:
        """Whether scores are those of codes, or answers are chosen by them."""
        return self._approximate

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` ids for the queries, as `Index.search` does."""
        wanted = self._wanted(queries)
        self.sync()
        return self._engine.search(wanted, k, allowed=self._selection.ids(where))

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all that can be found, in order of id."""
        wanted = self._wanted(queries)
        self.sync()
        return self._engine.scores(wanted)

    def sync(self) -> None:
        """Take over what any process committed since the last call; next to nothing where no vectors changed."""
        with self._lock:
            revision = self._source.vectors_revision
            if revision != self._revision:
                # Changes may run ahead of the revision read before; the next call meets them again, which does no harm.
                self._follow(self._revision)
                self._revision = revision

    def renew(self) -> None:
        """Do nothing: all of it is in memory."""

    @abstractmethod
    def _wanted(self, queries: Queries) -> Asked:
        """Return queries as the engine takes them; raises UsageError for those of another kind."""

    @abstractmethod
    def _follow(self, since: int) -> None:
        """Bring the engine up to date with what changed after the revision `since`; −1 before the first time."""


class SyncedIndex(Synced[ArrayLike]):
    """Search the vectors of `source` by an engine in memory: rows, codes, or an inverted file."""

    def __init__(self, source: RowSource, engine: VectorEngine, *, approximate: bool = False) -> None:
        super().__init__(source, source.select, engine, approximate=approximate)
        self._add: Callable[[ArrayLike, ArrayLike], None] = engine.add

    def _wanted(self, queries: Queries) -> ArrayLike:
        return as_vectors(queries)

    def _follow(self, since: int) -> None:
        for ids, rows in self._source.vectors(after_id=self._engine.live.last):
            self._add(ids, rows)
        self._engine.remove(self._source.removed_since(since))


def as_vectors(queries: Queries) -> ArrayLike:
    """Return queries that are to be vectors (Q, D), which the engine checks; raises UsageError for rows of an image."""
    if isinstance(queries, VisualWords):
        raise UsageError("search: got visual words; one vector of each image is compared here")
    if isinstance(queries, ImageRows):
        raise UsageError("search: got the rows of an image; one vector of each is compared here")
    return queries
