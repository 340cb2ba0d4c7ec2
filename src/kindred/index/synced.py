"""Following: an index in memory, in step with the store or the rows that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.forks import ForkSafeLock
from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.protocol import Engine, Queries, RowSource
from kindred.index.selection import Selection
from kindred.matching import MATCHINGS, ImageRows
from kindred.ranking import Ranking
from kindred.store import Filter

__all__ = ["SyncedIndex", "SyncedRows", "VectorEngine", "as_vectors"]


class VectorEngine(Engine[ArrayLike], Protocol):
    """An engine for one vector a row that compares a query with all of them."""

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before."""
        ...

    def scores(self, queries: ArrayLike) -> Vectors:
        """Return the scores (Q, N) of all rows that can be found, in order of id."""
        ...


class SyncedIndex:
    """Search the vectors of `source` by an engine in memory: rows, codes, or an inverted file.

    It is filled at the first search and follows what is committed after it. approximate: whether the engine is.
    """

    def __init__(self, source: RowSource, engine: VectorEngine, *, approximate: bool = False) -> None:
        self._source, self._engine = source, engine
        self._selection = Selection(source, source.select)
        self._approximate = approximate
        self._revision = -1
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        """Return the number of vectors, as of the last `sync`."""
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
        """Return the best `k` vector ids for queries (Q, D), as `Index.search` does."""
        wanted = as_vectors(queries)
        self.sync()
        return self._engine.search(wanted, k, allowed=self._selection.ids(where))

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all vectors, in order of id."""
        wanted = as_vectors(queries)
        self.sync()
        return self._engine.scores(wanted)

    def sync(self) -> None:
        """Take over what any process committed since the last call; next to nothing where no vectors changed."""
        with self._lock:
            revision = self._source.vectors_revision
            if revision == self._revision:
                return
            for ids, rows in self._source.vectors(after_id=self._engine.live.last):
                self._engine.add(ids, rows)
            # Removals may run ahead of the revision read before; the next call meets them again, which does no harm.
            self._engine.remove(self._source.removed_since(self._revision))
            self._revision = revision

    def renew(self) -> None:
        """Do nothing: all of it is in memory."""


class SyncedRows:
    """Search images of several rows each, all of them in memory; read again when rows have changed.

    `make` makes an empty engine for rows of a width.
    """

    def __init__(self, source: RowSource, make: Callable[[int], MultiVectorIndex]) -> None:
        self._source, self._make = source, make
        self._selection = Selection(source, source.select_images)
        self._revision = -1
        self._engine = make(source.dimension or 1)
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        """Return the number of images, as of the last `sync`."""
        return len(self._engine)

    @property
    def nbytes(self) -> int:
        """The bytes that the rows take."""
        return self._engine.nbytes

    @property
    def approximate(self) -> bool:
        """Whether rows are compared by less than all of them: never."""
        return False

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` images for the rows of one query image, with the boxes that matched best."""
        asked = self._asked(queries)
        self.sync()
        return self._engine.search(asked, k, allowed=self._selection.ids(where))

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (1, N) of all images, in order of id."""
        asked = self._asked(queries)
        self.sync()
        return self._engine.scores(asked)

    def sync(self) -> None:
        """Read all rows again where any process committed some since the last call."""
        with self._lock:
            revision = self._source.vectors_revision
            if revision == self._revision:
                return
            engine = self._make(self._source.dimension or 1)
            for batch in self._source.parts():
                engine.add(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
            self._engine, self._revision = engine, revision

    def renew(self) -> None:
        """Do nothing: all of it is in memory."""

    def _asked(self, queries: Queries) -> ImageRows:
        """Return the rows of the query that are compared."""
        if not isinstance(queries, ImageRows):
            raise UsageError("search: got a vector; the parts of images are compared here: give an image")
        if MATCHINGS[self._engine.method].whole_query:
            return replace(queries, rows=queries.rows[:1], owners=queries.owners[:1], boxes=None, words=None)
        return queries


def as_vectors(queries: Queries) -> ArrayLike:
    """Return queries that are to be vectors (Q, D), which the engine checks; raises UsageError for rows of an image."""
    if isinstance(queries, ImageRows):
        raise UsageError("search: got the rows of an image; one vector of each is compared here")
    return queries
