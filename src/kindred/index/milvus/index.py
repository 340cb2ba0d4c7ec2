"""MilvusIndex: search of the vectors of a library, one for each image, by a Milvus server."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, top_k
from kindred.index.exact import ExactIndex
from kindred.index.id_map import checked_queries, padded_ranking
from kindred.index.milvus.candidates import ServerSearch
from kindred.index.milvus.recorded import RecordedIndex
from kindred.index.milvus.server import MilvusServer
from kindred.index.protocol import Queries
from kindred.index.selection import Selection
from kindred.index.snapshot import SnapshotPolicy
from kindred.index.synced import as_vectors
from kindred.ranking import Ranking
from kindred.store import Filter, Store

__all__ = ["MilvusIndex"]


class MilvusIndex(RecordedIndex[ExactIndex]):
    """Search of the vectors of `store` by `server`; rankings hold vector ids. See `RecordedIndex`."""

    def __init__(
        self, store: Store, server: MilvusServer, *, dimension: int, similarity: str, policy: SnapshotPolicy
    ) -> None:
        super().__init__(store, server, dimension=dimension, similarity=similarity, policy=policy)
        self._selection = Selection(store, store.select)

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), including all changes committed before the call."""
        wanted = checked_queries(as_vectors(queries), k, self.dimension)
        allowed = self._selection.ids(where)
        return self._retried(lambda: self._ranked(wanted, k, allowed))

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

    def _counted(self) -> int:
        return self._store.counts().vectors

    def _pull(self) -> None:
        later, record = self._state.later, self._state.record
        after = max(later.live.last, record.last_id if record is not None else 0)
        for ids, rows in self._store.vectors(after_id=after):
            later.add(ids, rows)
        later.remove(self._store.removed_since(self._revision))
