"""LibraryAtlas: the maps of one library with their columns and sheets, for programs that show them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.atlas.columns import Columns, columns_of
from kindred.atlas.map_file import load_map, newest_method, save_map
from kindred.atlas.sheets import SIDE, WAIT, Sheets, Thumbnails, check_cell, sheet_count
from kindred.atlas.whole_map import WholeMap, make_map, update_map
from kindred.errors import UsageError
from kindred.manifold.maps import check_map

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["Atlas", "LibraryAtlas"]

Progress = Callable[[int, int], None]

DEFAULT = "tsne"


@dataclass(frozen=True, eq=False)
class Atlas:
    """A map with the columns of its images, as of one revision of the store."""

    mapped: WholeMap
    columns: Columns
    revision: int

    @property
    def digest(self) -> str:
        """A version of the map and of all its columns."""
        return f"{self.mapped.digest}-{self.revision}"


@dataclass
class _Held:
    maps: dict[str, WholeMap] = field(default_factory=dict)
    atlases: dict[str, Atlas] = field(default_factory=dict)
    newest: str | None = None


class LibraryAtlas:
    """The maps of `library`; may be used by many threads.

    thumbnails: how images are read for sheets (`kindred.atlas.sheets.Sheets`). read_only: maps are not stored in the
    library, and gone with this object. sheets: the folder where sheets are stored, if not that of the library.
    """

    def __init__(
        self,
        library: Library,
        *,
        thumbnails: Thumbnails | None = None,
        read_only: bool = False,
        sheets: Path | None = None,
    ) -> None:
        self._library, self._read_only = library, read_only
        self._sheets = Sheets(library.path, thumbnails=thumbnails, stored_in=sheets)
        self._held, self._lock = _Held(), threading.RLock()

    def get(self, method: str | None = None) -> Atlas | None:
        """Return the map by `method`, or by that of the newest map; None if none has been made.

        Raises UsageError for an unknown method.
        """
        with self._lock:
            mapped = self._map(method)
            if mapped is None:
                return None
            revision = self._library.store.revision
            held = self._held.atlases.get(mapped.method)
            if held is None or held.mapped is not mapped or held.revision != revision:
                held = Atlas(mapped, columns_of(self._library.store, mapped), revision)
                self._held.atlases[mapped.method] = held
            return held

    def make(self, method: str = DEFAULT, *, anew: bool = False, progress: Progress | None = None) -> WholeMap:
        """Make the map by `method`, or update it to the images that the library has now, and store it.

        anew: compute it from the start even if there is one. Raises as `make_map` does.
        """
        check_map(method)
        with self._lock:
            previous = None if anew else self._map(method)
        if previous is None:
            mapped = make_map(self._library, method, progress=progress)
        else:
            mapped = update_map(self._library, previous, progress=progress)
        if not self._read_only and (mapped is not previous or self._held.newest != method):
            save_map(self._library.path, mapped)
        with self._lock:
            self._held.maps[method], self._held.newest = mapped, method
        return mapped

    def is_current(self, mapped: WholeMap) -> bool:
        """Return whether the map holds exactly the images that the library has now."""
        return mapped.revision == self._library.store.vectors_revision

    def sheet(self, atlas: Atlas, cell: int, number: int, *, wait: float | None = WAIT) -> bytes:
        """Return a sheet of a map, numbered from 0, as WebP.

        cell: 32 or 128, the side of a thumbnail's cell in pixels. Raises UsageError for another one and for a number
        that the map does not have, SheetsBusy if others are being made for longer than `wait` seconds.
        """
        check_cell(cell)
        count, most = sheet_count(len(atlas.mapped), cell), (SIDE // cell) ** 2
        if not 0 <= number < count:
            raise UsageError(f"sheet: got {number}; expected 0 to {count - 1}, those of {len(atlas.mapped):,} images")
        part = slice(number * most, (number + 1) * most)
        outlines = atlas.columns.outlines
        return self._sheets.get(outlines.uids[part], outlines.paths[part], outlines.sizes[part], cell, wait=wait)

    def make_sheets(self, atlas: Atlas, cell: int, *, progress: Progress | None = None) -> None:
        """Make all sheets of a map, as far as they are not cached; `progress` is called with images and their number.

        An exception raised by `progress` ends it; the sheets made until then stay.
        """
        count, most = sheet_count(len(atlas.mapped), cell), (SIDE // cell) ** 2
        for number in range(count):
            self.sheet(atlas, cell, number, wait=None)
            if progress is not None:
                progress(min((number + 1) * most, len(atlas.mapped)), len(atlas.mapped))

    def _map(self, method: str | None) -> WholeMap | None:
        if method is None:
            method = self._held.newest or newest_method(self._library.path)
        if method is None:
            return None
        check_map(method)
        if method not in self._held.maps:
            found = load_map(self._library.path, method, images=self._library.store.counts().images)
            if found is None:
                return None
            self._held.maps[method] = found
        return self._held.maps[method]
