"""Following images of several rows each: what is read again is what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kindred.errors import UsageError
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.protocol import Queries, RowSource
from kindred.index.synced import Synced
from kindred.matching import MATCHINGS, ImageRows

__all__ = ["SyncedRows"]


class SyncedRows(Synced[ImageRows]):
    """Search images of several rows each, all in memory. Rankings hold their numbers and the boxes that matched.

    `make` makes an empty engine for rows of a width. An image that was added, or described again, costs its own rows.
    """

    def __init__(self, source: RowSource, make: Callable[[int], MultiVectorIndex]) -> None:
        self._make = make
        self._rows = make(source.dimension or 1)
        super().__init__(source, source.select_images, self._rows)

    def _wanted(self, queries: Queries) -> ImageRows:
        """Return the rows of the query that are compared."""
        if not isinstance(queries, ImageRows):
            raise UsageError("search: got a vector; the parts of images are compared here: give an image")
        if MATCHINGS[self._rows.method].whole_query:
            return replace(queries, rows=queries.rows[:1], owners=queries.owners[:1], boxes=None, words=None)
        return queries

    def _follow(self, since: int) -> None:
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
        """Fill a new engine, which takes the place of the one before when it is whole."""
        rows = self._make(self._source.dimension or 1)
        for batch in self._source.parts():
            rows.add(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
        self._engine = self._rows = rows
