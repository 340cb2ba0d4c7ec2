"""SyncedRows: images of several rows each, in memory and in step with a store, reading only changed images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.protocol import Queries, RowSource
from kindred.index.synced import Synced
from kindred.matching import MATCHINGS, ImageRows

__all__ = ["SyncedRows", "row_query", "rows_of"]


class SyncedRows(Synced[ImageRows]):
    """Search of images of several rows each, all in memory. Rankings hold image ids and best-matching boxes.

    `make` returns an empty engine for rows of dimension D. After a change, only the rows of changed images are read.
    """

    def __init__(
        self, source: RowSource, make: Callable[[int], MultiVectorIndex], *, approximate: bool = False
    ) -> None:
        self._make = make
        self._rows = make(source.dimension or 1)
        super().__init__(source, source.select_images, self._rows, approximate=approximate)

    def _checked_queries(self, queries: Queries) -> ImageRows:
        return row_query(queries, self._rows.method)

    def _apply_changes(self, since: int) -> None:
        if since < 0 or self._rows.dimension != self._source.dimension:
            self._read_all()
            return
        changed = self._source.changed_since(since)
        there = [np.empty(0, np.int64)]
        for batch in self._source.parts(images=changed):
            self._rows.replace(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
            there.append(batch.owners)
        self._rows.remove(np.setdiff1d(changed, np.concatenate(there)))

    def _read_all(self) -> None:
        """Fill a new engine, which replaces the previous one when it is complete."""
        rows = self._make(self._source.dimension or 1)
        for batch in self._source.parts():
            rows.add(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
        self._engine = self._rows = rows


def row_query(queries: Queries, method: str) -> ImageRows:
    """Return the rows of a query that a matching method compares; raises UsageError for vectors."""
    if not isinstance(queries, ImageRows):
        raise UsageError("search: got a vector; this index compares the rows of images: give an image")
    if MATCHINGS[method].whole_query:
        return replace(queries, rows=queries.rows[:1], owners=queries.owners[:1], boxes=None, words=None)
    return queries


def rows_of(source: RowSource, images: NDArray[np.int64]) -> ImageRows:
    """Return the rows of images (n,), ascending, as they are stored; those that were removed are left out."""
    batches = [batch for batch in source.parts(images=images) if len(batch.owners)]
    if not batches:
        return ImageRows(np.zeros((0, source.dimension or 1), np.float32), np.zeros(0, np.int64))
    boxes = [batch.boxes for batch in batches if batch.boxes is not None]
    return ImageRows(
        np.concatenate([batch.rows for batch in batches]),
        np.concatenate([batch.owners for batch in batches]),
        np.concatenate(boxes) if len(boxes) == len(batches) else None,
    )
