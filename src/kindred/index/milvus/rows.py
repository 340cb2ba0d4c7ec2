"""MilvusRows: search of images of several rows each, such as one per region, by a Milvus server.

The server finds rows; their images are candidates, grouped here, as older servers ignore `group_by_field` without an
error. The list of rows is widened until there are enough images, whose rows are then compared by the recipe's matching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole, l2_normalise
from kindred.index.coded import DEPTH
from kindred.index.id_map import Found
from kindred.index.milvus.candidates import MARGIN, MOST_CANDIDATES, Filtering
from kindred.index.milvus.record import IndexRecord
from kindred.index.milvus.recorded import RecordedIndex
from kindred.index.milvus.server import MilvusServer
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.protocol import Queries
from kindred.index.selection import Selection
from kindred.index.snapshot import SnapshotPolicy
from kindred.index.synced_rows import row_query
from kindred.index.widening import efforts_up_to, widened
from kindred.matching import ImageRows, check_query
from kindred.ranking import Ranking
from kindred.store import Filter, Store

__all__ = ["MilvusRows"]

FEW_IMAGES = 200
"""Up to this many images that pass a filter, all of them are compared."""
BATCH = 256
"""Images compared at a time."""


@dataclass
class _Changed:
    """Images that changed after the record, in memory: `ids` (n,) includes those that are gone."""

    rows: MultiVectorIndex
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class MilvusRows(RecordedIndex[_Changed]):
    """Search of the rows of the images of `store` by `server`; rankings hold image ids and the boxes of their rows.

    make: returns an empty engine, which compares images, for rows of dimension D.
    """

    def __init__(
        self,
        store: Store,
        server: MilvusServer,
        make: Callable[[int], MultiVectorIndex],
        *,
        dimension: int,
        policy: SnapshotPolicy,
    ) -> None:
        self._make = make
        super().__init__(store, server, dimension=dimension, similarity="dot", policy=policy)
        self._images = Selection(store, store.select_images)
        self._rows = Selection(store, store.select)

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` images for the rows of one image, including all changes committed before the call."""
        wanted = row_query(queries, self._make(self.dimension).method)
        check_query(wanted, self.dimension)
        check_whole(k=k)
        images, rows = self._images.ids(where), self._rows.ids(where)
        return self._retried(lambda: self._ranked(wanted, k, images, rows))

    def _ranked(
        self, query: ImageRows, k: int, images: NDArray[np.int64] | None, rows: NDArray[np.int64] | None
    ) -> Ranking:
        with self._lock:
            state, total = self._state, self._count
        later, most = state.later, min(k, total)
        if state.record is None or not most:
            return later.rows.search(query, k, allowed=images)
        kept = total if images is None else len(images)
        if images is not None and kept <= FEW_IMAGES:
            return self._compared(query, k, images)
        earlier = self._found(query, min(DEPTH * k, kept), state.record, later.ids, rows)
        if len(earlier) < min(k, kept):
            return self._compared(query, k, self._store.select_images(Filter()) if images is None else images)
        new = later.rows.search(query, k, allowed=images).ids[0] if len(later.rows) else np.empty(0, np.int64)
        return self._compared(query, k, np.union1d(earlier, new[new >= 0]))

    def _found(
        self,
        query: ImageRows,
        wanted_images: int,
        record: IndexRecord,
        changed: NDArray[np.int64],
        allowed: NDArray[np.int64] | None,
    ) -> NDArray[np.int64]:
        """Return about `wanted_images` images (n,): those of the rows nearest to a query, without the changed ones."""
        wanted = l2_normalise(query.rows)
        if allowed is not None:
            allowed = allowed[: np.searchsorted(allowed, record.last_id, side="right")]
        most = min(wanted_images, MOST_CANDIDATES)
        filtering = Filtering.of(allowed, wanted=most, total=record.count)
        owner_of: dict[int, int] = {}

        def search(_: NDArray[np.int64], effort: int) -> Found:
            found = [self._server.search(record, wanted, effort, each) for each in filtering.expressions]
            ids = np.unique(np.concatenate([each.ravel() for each in found] or [np.empty(0, np.int64)]))
            ids, vectors = self._store.fetch(filtering.passing(ids[ids <= record.last_id]))
            owner_of.update({number: row.image_id for number, row in self._store.rows(ids.tolist()).items()})
            scores: Vectors = (vectors @ wanted.T).max(axis=1) if len(ids) else np.empty(0, np.float32)
            order = np.lexsort((ids, -scores))
            return ids[None, order], scores[None, order]

        def owners(ids: NDArray[np.int64]) -> NDArray[np.int64]:
            found = np.array([owner_of.get(number, -1) for number in ids.tolist()], np.int64)
            return np.where(np.isin(found, changed), -1, found)

        efforts = efforts_up_to(min(max(most + MARGIN, filtering.first), MOST_CANDIDATES), MOST_CANDIDATES)
        ids, _ = widened(search, owners, 1, most, efforts=efforts)
        return np.unique(owners(ids[0][ids[0] >= 0]))

    def _compared(self, query: ImageRows, k: int, images: NDArray[np.int64]) -> Ranking:
        """Return the best `k` of images (n,), whose rows are read from the store and compared in batches."""
        best = images[:0]
        for start in range(0, max(1, len(images)), BATCH):
            engine = self._engine(np.union1d(best, images[start : start + BATCH]))
            ranking = engine.search(query, k)
            best = ranking.ids[0][ranking.ids[0] >= 0]
        return ranking

    def _engine(self, images: NDArray[np.int64]) -> MultiVectorIndex:
        engine = self._make(self.dimension)
        for batch in self._store.parts(images=images) if len(images) else ():
            engine.replace(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
        return engine

    def _nothing_later(self) -> _Changed:
        return _Changed(self._make(self.dimension))

    def _counted(self) -> int:
        return self._store.counts().indexed

    def _pull(self) -> None:
        later, record = self._state.later, self._state.record
        since = self._revision
        if since < 0 and record is None:
            for batch in self._store.parts():
                later.rows.add(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
            return
        changed = self._store.changed_since(since if record is None or since >= 0 else record.revision)
        there = [np.empty(0, np.int64)]
        for batch in self._store.parts(images=changed):
            later.rows.replace(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
            there.append(batch.owners)
        later.rows.remove(np.setdiff1d(changed, np.concatenate(there)))
        later.ids = np.union1d(later.ids, changed)
