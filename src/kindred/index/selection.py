"""Selection: the ids that filters let through, looked up once for as long as the source does not change."""

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

MOST = 8
"""So many filters are remembered: the ids of one may take 8 MB for a million images."""

Select: TypeAlias = Callable[[Filter], NDArray[np.int64]]


class Selection:
    """What `select` says of filters; asked again as soon as anything changed, tags and metadata included."""

    def __init__(self, source: RowSource, select: Select) -> None:
        self._source, self._select = source, select
        self._known: OrderedDict[Filter, tuple[int, NDArray[np.int64]]] = OrderedDict()
        self._lock = ForkSafeLock()

    def ids(self, where: Filter | None) -> NDArray[np.int64] | None:
        """Return the ids (n,) that `where` lets through, ascending; None where that is all of them."""
        if where is None or where == Filter():
            return None
        # Asked before: what changes meanwhile is at worst looked up once more.
        revision = self._source.revision
        with self._lock:
            known = self._known.get(where)
            if known is not None and known[0] == revision:
                self._known.move_to_end(where)
                return known[1]
        found = self._select(where)
        with self._lock:
            self._known[where] = revision, found
            self._known.move_to_end(where)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return found
