"""PgvectorIndex: search of the vectors of a library in PostgreSQL, by the server.

Nothing is read when a process starts. Up to some number of vectors, and for filters that keep few, all are compared;
above that, pgvector's graph is searched, with more and more effort until k vectors that pass the filter are found. The
best are scored by their full vectors, by the same functions as everywhere else.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock
from kindred.arrays import Vectors, l2_normalise
from kindred.index.id_map import Found, checked_queries, padded_ranking
from kindred.index.protocol import Index, Queries, RowSource
from kindred.index.snapshot import SnapshotPolicy
from kindred.index.synced import as_vectors
from kindred.index.widening import efforts_up_to, widened
from kindred.ranking import Ranking
from kindred.similarity import SIMILARITIES
from kindred.store import Filter, Store
from kindred.store.protocol import VectorBatch

__all__ = ["PgvectorIndex", "SearchesVectors", "serves"]

MARGIN = 8
"""Candidates beyond k, as the server rounds differently."""
FEW_ROWS = 10_000
"""Up to this many vectors that pass a filter, all of them are compared."""
MOST_BY_GRAPH = 500
"""More results than this are found by comparing all."""
FIRST_SCAN = 20_000
"""Vectors of the graph that a filtered search looks at, at first."""
LOOK_SECONDS = 10.0
"""How long it is remembered whether there is a graph."""
ONE_BY_ONE = 16
"""More queries than this at once are searched in memory: re-rankers compare a library with itself."""

log = logging.getLogger(__name__)


class Searcher(Protocol):
    """What a server offers; see `kindred.store.postgres.search.VectorSearch`."""

    def serves(self, similarity: str, dimension: int) -> bool:
        """Return whether the server can compare vectors in this way."""
        ...

    def can_have_graph(self, similarity: str, dimension: int) -> bool:
        """Return whether there can be a graph."""
        ...

    def has_graph(self, similarity: str) -> bool:
        """Return whether there is a complete graph."""
        ...

    def count(self, where: Filter | None, limit: int) -> int:
        """Count the vectors that match, up to `limit`."""
        ...

    def nearest(self, query: Vectors, k: int, *, similarity: str, where: Filter | None) -> VectorBatch:
        """Return the `k` nearest vectors, comparing all that match."""
        ...

    def nearest_by_graph(
        self, query: Vectors, k: int, *, similarity: str, where: Filter | None, scanned: int
    ) -> VectorBatch:
        """Return about the `k` nearest vectors that match, by the graph."""
        ...

    def build_graph(self, similarity: str, dimension: int) -> bool:
        """Build the graph; return whether it is complete."""
        ...


@runtime_checkable
class SearchesVectors(Protocol):
    """A store that can search its vectors itself."""

    @property
    def vector_search(self) -> Searcher:
        """The search of its vectors."""
        ...


def serves(source: RowSource, similarity: str) -> bool:
    """Return whether `source` is a store that can itself search its vectors in this way."""
    return isinstance(source, SearchesVectors) and source.vector_search.serves(similarity, source.dimension or 1)


class PgvectorIndex:
    """Search of the vectors of `store`, by its server. Thread-safe.

    policy: number of vectors above which a graph is built. in_memory: the index for many queries at once.
    """

    def __init__(
        self, store: Store, server: Searcher, in_memory: Index, *, similarity: str, policy: SnapshotPolicy
    ) -> None:
        self.similarity, self.policy = similarity, policy
        self._store, self._server, self._in_memory = store, server, in_memory
        self._compare = SIMILARITIES["dot" if similarity == "cosine" else similarity]
        self._lock = ForkSafeLock()
        self._graph: tuple[float, bool] = (-LOOK_SECONDS, False)
        self._counted: tuple[int, int] = (-1, 0)  # revision of the vectors, and their number

    def __len__(self) -> int:
        """Return the number of vectors."""
        revision = self._store.vectors_revision
        with self._lock:
            if self._counted[0] != revision:
                self._counted = revision, self._store.counts().vectors
            return self._counted[1]

    @property
    def nbytes(self) -> int:
        """Size of the vectors, which are on the server."""
        return 4 * len(self) * (self._store.dimension or 0)

    @property
    def approximate(self) -> bool:
        """Whether there is a graph, as seen within the last seconds."""
        now = time.monotonic()
        with self._lock:
            if now - self._graph[0] > LOOK_SECONDS:
                self._graph = now, self._server.has_graph(self.similarity)
            return self._graph[1]

    def sync(self) -> None:
        """Do nothing: the server always searches what is stored."""

    def renew(self) -> None:
        """Build the graph if there are enough vectors and it can hold them; changes go on meanwhile."""
        dimension = self._store.dimension
        if dimension is None or len(self) < self.policy.exact_below or self._server.has_graph(self.similarity):
            return
        if not self._server.can_have_graph(self.similarity, dimension):
            log.warning(
                "%d vectors are compared one by one: the server has no graph for %d components and similarity %s; "
                "a recipe with a smaller dimension or a code is searched faster",
                len(self),
                dimension,
                self.similarity,
            )
            return
        built = self._server.build_graph(self.similarity, dimension)
        with self._lock:
            self._graph = time.monotonic(), built

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), including all changes committed before the call."""
        total = len(self)
        given = np.asarray(as_vectors(queries))
        wanted = checked_queries(given, k, self._store.dimension or given.shape[-1])
        most = min(k, total)
        if len(wanted) > ONE_BY_ONE:
            return self._in_memory.search(wanted, k, where=where)
        if most == 0:
            return padded_ranking((np.empty((len(wanted), 0), np.int64), np.empty((len(wanted), 0), np.float32)), 0)
        where = None if where == Filter() else where
        by_graph = most <= MOST_BY_GRAPH and self.approximate and not self._keeps_few(where)
        found = [self._best(query, most, where, total, by_graph=by_graph) for query in wanted]
        ids, scores = (np.stack(arrays) for arrays in zip(*found, strict=True))
        return padded_ranking((ids, scores), most)

    def _keeps_few(self, where: Filter | None) -> bool:
        return where is not None and self._server.count(where, FEW_ROWS + 1) <= FEW_ROWS

    def _best(
        self, query: Vectors, k: int, where: Filter | None, total: int, *, by_graph: bool
    ) -> tuple[NDArray[np.int64], Vectors]:
        """Return ids and scores (k,) of one query, padded."""
        if by_graph:

            def search(_: NDArray[np.int64], scanned: int) -> Found:
                found = self._server.nearest_by_graph(
                    query, k + max(MARGIN, k // 4), similarity=self.similarity, where=where, scanned=scanned
                )
                ids, scores = self._scored(query, found)
                return ids[None], scores[None]

            ids, scores = widened(
                search, lambda ids: ids, 1, k, efforts=efforts_up_to(FIRST_SCAN, max(total, FIRST_SCAN))
            )
            if ids[0, -1] >= 0:
                return ids[0], scores[0]
        found = self._server.nearest(query, k + MARGIN, similarity=self.similarity, where=where)
        ids, scores = self._scored(query, found)
        lacking = max(0, k - len(ids))
        return np.pad(ids[:k], (0, lacking), constant_values=-1), np.pad(
            scores[:k], (0, lacking), constant_values=-np.inf
        )

    def _scored(self, query: Vectors, found: VectorBatch) -> tuple[NDArray[np.int64], Vectors]:
        """Return candidates best first, equal scores by id, scored by their full vectors."""
        ids, rows = found
        if not len(ids):
            return ids, np.empty(0, np.float32)
        pair = (l2_normalise(query[None]), l2_normalise(rows)) if self.similarity == "cosine" else (query[None], rows)
        scores = self._compare(*pair)[0]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order].astype(np.float32)
