"""Selection: the ids that pass a filter, cached for as long as the source does not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock
from kindred.index.protocol import RowSource
from kindred.store import Filter

__all__ = ["Select", "Selection"]

CACHED_FILTERS = 8
"""Number of cached filters: the ids of one may take 8 MB for a million images."""

Select: TypeAlias = Callable[[Filter], NDArray[np.int64]]


class Selection:
    """A cache of `select`, invalidated by every committed change, including tags and metadata. Thread-safe."""

    def __init__(self, source: RowSource, select: Select) -> None:
        self._source, self._select = source, select
        self._cache: OrderedDict[Filter, tuple[int, NDArray[np.int64]]] = OrderedDict()
        self._lock = ForkSafeLock()

    def ids(self, where: Filter | None) -> NDArray[np.int64] | None:
        """Return the ids (n,) that pass the filter `where`, ascending; None if there is no filter."""
        if where is None or where == Filter():
            return None
        # Read before the lookup: a change in between costs at most one more lookup.
        revision = self._source.revision
        with self._lock:
            cached = self._cache.get(where)
            if cached is not None and cached[0] == revision:
                self._cache.move_to_end(where)
                return cached[1]
        found = self._select(where)
        with self._lock:
            self._cache[where] = revision, found
            self._cache.move_to_end(where)
            while len(self._cache) > CACHED_FILTERS:
                self._cache.popitem(last=False)
        return found
