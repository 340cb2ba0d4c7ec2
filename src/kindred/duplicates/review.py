"""Review: the duplicates of a library as last searched for, for programs that show and sort them."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.duplicates.find import check_most, find_links
from kindred.duplicates.found import NO_PAIRS, Found, grouped
from kindred.duplicates.found_file import LastSearch, load_search, save_search
from kindred.duplicates.groups import DuplicateGroup, Kind
from kindred.store import Filter

if TYPE_CHECKING:
    from kindred.duplicates.pixels import Report
    from kindred.library import Library

__all__ = ["Listing", "Review", "key_of"]

CACHED = 4
"""Listings that are cached: those of the thresholds that a slider was at last."""
MOST_FOLDERS = 200


def key_of(group: DuplicateGroup) -> str:
    """Return 16 hexadecimal digits that depend on the images of a group, and on nothing else."""
    ids = sorted(member.id for member in group.members)
    return hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Listing:
    """The groups of a search, for one threshold."""

    groups: Sequence[DuplicateGroup]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The index of each group, by its key."""
        return {key_of(group): at for at, group in enumerate(self.groups)}

    @cached_property
    def counts(self) -> Mapping[Kind, int]:
        """The number of groups of each kind."""
        return Counter(group.kind for group in self.groups)

    @cached_property
    def folders(self) -> list[tuple[Path, int]]:
        """The folders with the most images in groups, with their number, at most `MOST_FOLDERS`."""
        found = Counter(member.path.parent for group in self.groups for member in group.members)
        return sorted(found.most_common(MOST_FOLDERS), key=lambda each: (-each[1], each[0]))


class Review:
    """The last search for duplicates of `library`, and its groups; may be used by many threads.

    Every search is stored in the library, and is there when it is opened again; with `read_only`, only as long as this
    object.
    """

    def __init__(self, library: Library, *, read_only: bool = False) -> None:
        self._library, self._read_only = library, read_only
        self._lock = threading.RLock()
        self._last: LastSearch | None = None
        self._loaded = False
        self._listings: dict[object, Listing] = {}
        self._removed: tuple[object, NDArray[np.int64]] | None = None

    @property
    def last(self) -> LastSearch | None:
        """The last search, or None."""
        with self._lock:
            if not self._loaded:
                self._last, self._loaded = load_search(self._library), True
            return self._last

    def search(self, *, threshold: float | None = None, progress: Report | None = None) -> LastSearch:
        """Search for duplicates of all kinds, as `find_links` does, and store what was found."""
        revision = self._library.store.vectors_revision
        found = find_links(self._library, threshold=threshold, progress=progress)
        last = LastSearch(found, datetime.now(UTC).isoformat(timespec="seconds"), revision)
        if not self._read_only:
            save_search(self._library, last)
        with self._lock:
            self._last, self._loaded = last, True
            self._listings.clear()
        return last

    def listing(
        self, last: LastSearch, *, threshold: float | None = None, most: float | None = None, marked: bool = False
    ) -> Listing:
        """Return the groups of a search as `grouped` does, without images that were removed since.

        marked: whether pairs that were marked as not the same may be in one group. Raises UsageError for a threshold
        below that of the search and for an upper bound below the threshold.
        """
        check_most(most, last.found.threshold if threshold is None else threshold)
        apart = NO_PAIRS if marked else self._library.store.not_same()
        gone = self._gone(last.found)
        key = (id(last), threshold, most, apart.tobytes(), gone.tobytes())
        with self._lock:
            if key in self._listings:
                self._listings[key] = self._listings.pop(key)
                return self._listings[key]
        made = Listing(grouped(_without(last.found, gone), threshold=threshold, most=most, apart=apart))
        with self._lock:
            self._listings[key] = made
            while len(self._listings) > CACHED:
                del self._listings[next(iter(self._listings))]
        return made

    def _gone(self, found: Found) -> NDArray[np.int64]:
        """Return the numbers of images that were removed since the search."""
        key = (id(found), self._library.store.revision)
        with self._lock:
            if self._removed is not None and self._removed[0] == key:
                return self._removed[1]
        linked = np.fromiter(found.images, np.int64)
        gone = linked[~np.isin(linked, self._library.store.select_images(Filter()))]
        with self._lock:
            self._removed = (key, gone)
        return gone


def _without(found: Found, gone: NDArray[np.int64]) -> Found:
    """Return the links between images that are not `gone`."""
    if not len(gone):
        return found
    near, absent = found.near, set(gone.tolist())
    return replace(
        found,
        links=tuple(link for link in found.links if link.one not in absent and link.other not in absent),
        near=near[~np.isin(near["one"], gone) & ~np.isin(near["other"], gone)],
    )
