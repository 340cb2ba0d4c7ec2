"""MilvusIndex: search of the vectors of a library by a Milvus server, in step with the store.

The server holds the vectors of the last `renew` or `build`, up to some id; those stored later are compared in memory,
and what was removed since is dropped, because only candidates that the store still has are scored. A search therefore
includes all committed changes, whatever the server has seen of them, and its scores are those of exact search.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock
from kindred.arrays import Vectors, top_k
from kindred.errors import LibraryDamaged, LibraryError
from kindred.index.exact import ExactIndex
from kindred.index.id_map import checked_queries, padded_ranking
from kindred.index.milvus.building import BuildReport, build_index
from kindred.index.milvus.candidates import ServerSearch
from kindred.index.milvus.record import IndexRecord, key_of
from kindred.index.milvus.server import CollectionGone, MilvusServer
from kindred.index.protocol import Queries
from kindred.index.selection import Selection
from kindred.index.snapshot import SnapshotPolicy
from kindred.index.synced import as_vectors
from kindred.ranking import Ranking
from kindred.store import Filter, Store

__all__ = ["MilvusIndex"]

MOST_IN_MEMORY = 2_000_000
"""Vectors that are compared in memory while they are not in the index."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    """What is searched: the recorded index, if there is one, and the vectors stored later."""

    record: IndexRecord | None
    later: ExactIndex


class MilvusIndex:
    """Search of the vectors of `store` by `server`. Thread-safe.

    policy: number of vectors from which `renew` builds an index, and of changes from which it brings it up to date.
    Without an index all vectors are compared in memory.
    """

    def __init__(
        self, store: Store, server: MilvusServer, *, dimension: int, similarity: str, policy: SnapshotPolicy
    ) -> None:
        self.dimension, self.similarity, self.policy = dimension, similarity, policy
        self._store, self._server = store, server
        self._key = key_of(server.url.collection)
        self._selection = Selection(store, store.select)
        self._state = _State(None, self._nothing_later())
        self._recorded: str | None = ""
        self._checked = self._revision = -1  # the revisions of the store and of its vectors at the last sync
        self._count = 0
        self._lock, self._building = ForkSafeLock(), ForkSafeLock()

    def __len__(self) -> int:
        """Return the number of vectors, as of the last `sync`."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of the vectors, most of which are on the server."""
        return 4 * self._count * self.dimension

    @property
    def approximate(self) -> bool:
        """Whether an index is searched, rather than every vector."""
        return self._state.record is not None

    def sync(self) -> None:
        """Apply the changes that any process has committed since the last call; fast if no vectors changed."""
        with self._lock:
            revision = self._store.revision
            if revision == self._checked:
                return
            self._follow_record()
            vectors = self._store.vectors_revision
            if vectors != self._revision:
                self._pull()
            self._revision, self._checked = vectors, revision

    def renew(self) -> None:
        """Build the index if there are enough vectors, or bring it up to date if enough have changed."""
        count, record = self._store.counts().vectors, self._recorded_index()
        if record is None:
            due = count >= self.policy.exact_below
        else:
            removed = len(self._store.removed_since(record.revision))
            changes = count - record.count + 2 * removed  # those removed are missing from the count
            due = changes > max(self.policy.changes, self.policy.tail_share * count)
        if due and self._store.writable:
            self.build()

    def build(
        self, kind: str | None = None, *, rebuild: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> BuildReport:
        """Bring the index up to date, or build a new one; searches go on meanwhile.

        kind: of KINDS, if not that of the index there is. rebuild: whether a new one is built in any case.
        """
        with self._building:
            report = build_index(
                self._store,
                self._server,
                None if rebuild else self._recorded_index(),
                kind=kind,
                dimension=self.dimension,
                similarity=self.similarity,
                progress=progress,
            )
            self.sync()
            return report

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), including all changes committed before the call."""
        wanted = checked_queries(as_vectors(queries), k, self.dimension)
        self.sync()
        allowed = self._selection.ids(where)
        try:
            return self._ranked(wanted, k, allowed)
        except CollectionGone:  # another process has replaced it, or somebody has deleted it
            with self._lock:
                self._recorded, self._checked = None, -1
            self.sync()
            return self._ranked(wanted, k, allowed)

    def _ranked(self, queries: Vectors, k: int, allowed: NDArray[np.int64] | None) -> Ranking:
        with self._lock:
            state, total = self._state, self._count
        most = min(k, total)
        if state.record is None:
            return padded_ranking(state.later.nearest(queries, k, allowed=allowed), most)
        earlier = ServerSearch(self._store, self._server, state.record, total)
        ids, scores = earlier.best(queries, k, allowed)
        if len(state.later):
            new_ids, new_scores = state.later.nearest(queries, k, allowed=allowed)
            # Those of the server first: their ids are lower, and equal scores are ordered by id.
            ids, scores = np.concatenate((ids, new_ids), axis=1), np.concatenate((scores, new_scores), axis=1)
        order, best = top_k(scores, max(1, most))
        return padded_ranking((np.take_along_axis(ids, order, axis=1), best), most)

    def _nothing_later(self) -> ExactIndex:
        return ExactIndex(self.dimension, similarity=self.similarity)

    def _follow_record(self) -> None:
        """Search the index that the store records, if the server has it."""
        text = self._store.meta.get(self._key, "")
        if text == self._recorded:
            return
        record = self._usable(text)
        self._state, self._revision = _State(record, self._nothing_later()), -1
        self._recorded = text

    def _recorded_index(self) -> IndexRecord | None:
        return self._usable(self._store.meta.get(self._key, ""))

    def _usable(self, text: str) -> IndexRecord | None:
        """Return a record if the server has what it says; otherwise log why not."""
        if not text:
            return None
        try:
            record = IndexRecord.parse(text, self._server.url.collection)
        except LibraryDamaged as error:
            log.warning("all vectors are compared until the index is built again: %s", error)
            return None
        fits = (record.dimension, record.similarity) == (self.dimension, self.similarity)
        if fits and self._server.holds(record):
            return record
        log.warning(
            "all vectors are compared: %s has no index of the present library; kindred build-index builds one",
            self._server.url,
        )
        return None

    def _pull(self) -> None:
        """Read the vectors that are not in the index, and drop those removed since.

        Both may include changes after the revision that `sync` has read; the next `sync` then repeats removals, which
        is harmless.
        """
        later, record = self._state.later, self._state.record
        self._count = self._store.counts().vectors
        after = max(later.live.last, record.last_id if record is not None else 0)
        self._check_memory(self._count - len(later) - (0 if record is None else record.count))
        for ids, rows in self._store.vectors(after_id=after):
            later.add(ids, rows)
        later.remove(self._store.removed_since(self._revision))

    def _check_memory(self, vectors: int) -> None:
        if vectors > MOST_IN_MEMORY:
            raise LibraryError(
                f"{self._server.url}: {vectors:,} vectors of the library are not in the index; "
                "bring it up to date with kindred build-index"
            )
