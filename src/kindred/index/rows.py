"""The rows of an index in one growable array, with the map of live and removed rows."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kindred.index.id_map import IdMap

__all__ = ["LiveRows"]

Scalar = TypeVar("Scalar", bound=np.generic)


class LiveRows(Generic[Scalar]):
    """Rows (N, D) of one number type by id; the array doubles when full, and is compacted after many removals.

    `state` holds the ids and the rows. It is replaced as a whole and never changed in place: a concurrent search sees
    the state before or after a change. One thread at a time may change it.
    """

    def __init__(self, width: int, dtype: DTypeLike) -> None:
        self._buffer: NDArray[Scalar] = np.empty((0, width), dtype)
        self.state: tuple[IdMap, NDArray[Scalar]] = (IdMap(), self._buffer)

    def replace(self, live: IdMap, rows: NDArray[Scalar]) -> None:
        """Replace all rows by `rows` (N, D) with the ids `live`."""
        self._buffer = rows
        self.state = (live, rows)

    def add(self, ids: NDArray[np.int64], rows: NDArray[Scalar]) -> None:
        """Add rows (n, D) under ids (n,); raises UsageError unless these ascend, all above the ids before."""
        live, present = self.state
        extended = live.extended(ids)
        count, end = len(present), len(present) + len(rows)
        if end > len(self._buffer):
            buffer = np.empty((max(end, 2 * count), present.shape[1]), present.dtype)
            buffer[:count] = present
            self._buffer = buffer
        self._buffer[count:end] = rows
        self.state = (extended, self._buffer[:end])

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        live, rows = self.state
        rest = live.without(ids)
        if rest.needs_compaction:
            self.replace(rest.compacted(), rows[rest.alive])
        else:
            self.state = (rest, rows)
        return live.count - rest.count
