"""Reading: the queries of a store that are the same over every database."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kindred.store.cells import KNOWN, NO_PATHS, Cells
from kindred.store.keys import folder_range, path_key
from kindred.store.records import Known

__all__ = ["LARGEST_DIMENSION", "META_BYTES", "PAGE", "KnownReader"]

PAGE = 1000
"""Rows that a listing reads at a time, so that no transaction stays open while its caller works."""
META_BYTES = 1 << 22
"""Maximum size of all facts about a library; a recipe of many parts takes some kB."""
LARGEST_DIMENSION = 1 << 20


class KnownReader(ABC):
    """Queries about the stored facts of files; a database selects rows by a column, and pages of them by folder."""

    _cells: Cells

    @abstractmethod
    def _known_by(self, column: str, values: Sequence[bytes]) -> Iterator[Sequence[object]]:
        """Yield the columns KNOWN of the images whose `column` is one of `values`."""

    @abstractmethod
    def _page(self, columns: str, after: bytes, before: bytes) -> Sequence[Sequence[object]]:
        """Return the first PAGE images with a path between two, ordered by it; the last of `columns` is the path."""

    def lookup(self, paths: Iterable[Path]) -> dict[Path, Known]:
        """Return the stored facts of each of `paths`; paths that are not in the store are left out."""
        by_key = {path_key(path): path for path in paths}
        return {known.path: known for known in self._known("path", list(by_key), by_key)}

    def by_digest(self, digests: Iterable[bytes]) -> dict[bytes, list[Known]]:
        """Return the images with each of these digests, ordered by number; digests without images are left out."""
        found: dict[bytes, list[Known]] = {}
        for known in sorted(self._known("digest", list(set(digests))), key=lambda each: each.id):
            if known.digest is not None:
                found.setdefault(known.digest, []).append(known)
        return found

    def paths_under(self, folder: Path) -> Iterator[Path]:
        """Yield the path of every image in `folder`, recursively, in order; the store may change in the meantime."""
        for number, path in self._pages("id, path", folder):
            yield self._cells.path(path, f"image {number}")

    def known_under(self, folder: Path) -> Iterator[Known]:
        """Yield the stored facts of every image in `folder`, in the order of `paths_under`."""
        return (self._cells.known(row[:-1]) for row in self._pages(f"{KNOWN}, path", folder))

    def _known(self, column: str, values: Sequence[bytes], paths: Mapping[bytes, Path] = NO_PATHS) -> Iterator[Known]:
        """Yield the stored facts of images; `paths` maps keys to `Path` objects that the caller already has."""
        return (self._cells.known(row, paths) for row in self._known_by(column, values))

    def _pages(self, columns: str, folder: Path) -> Iterator[Sequence[object]]:
        last, end = folder_range(folder)
        while page := self._page(columns, last, end):
            yield from page
            last = os.fsencode(self._cells.path(page[-1][-1], "an image"))
