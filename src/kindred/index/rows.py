"""The rows of an index in one array, which has room to grow, and which of them live."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kindred.index.id_map import IdMap

__all__ = ["LiveRows"]

Scalar = TypeVar("Scalar", bound=np.generic)


class LiveRows(Generic[Scalar]):
    """Rows (N, D) of one kind of number under ids; adding copies few of those before, removing at times the rest.

    `state` is the ids and the rows. It is replaced as a whole, and what it held is never changed: a search that runs
    beside a change sees the state before or after it. One thread at a time may change it.
    """

    def __init__(self, width: int, dtype: DTypeLike) -> None:
        self._room: NDArray[Scalar] = np.empty((0, width), dtype)
        self.state: tuple[IdMap, NDArray[Scalar]] = (IdMap(), self._room)

    def replace(self, live: IdMap, rows: NDArray[Scalar]) -> None:
        """Hold rows (N, D) with their ids in place of those before."""
        self._room = rows
        self.state = (live, rows)

    def add(self, ids: NDArray[np.int64], rows: NDArray[Scalar]) -> None:
        """Add rows (n, D) under ids (n,); raises UsageError unless these ascend and lie above all ids before."""
        live, present = self.state
        extended = live.extended(ids)
        count, end = len(present), len(present) + len(rows)
        if end > len(self._room):
            room = np.empty((max(end, 2 * count), present.shape[1]), present.dtype)
            room[:count] = present
            self._room = room
        self._room[count:end] = rows
        self.state = (extended, self._room[:end])

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        live, rows = self.state
        rest = live.without(ids)
        if rest.worn:
            self.replace(rest.compacted(), rows[rest.alive])
        else:
            self.state = (rest, rows)
        return live.count - rest.count
