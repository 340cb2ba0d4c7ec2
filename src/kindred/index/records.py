"""Records of files derived from a library: which one is current, with its checksum.

The record of a library in a folder is a fact in its store: it travels with the folder, and a file that is not the
recorded one is ignored. Each machine that uses a library on a server has files of its own, and records them beside
them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from kindred._support.files import read_bounded, replacing
from kindred.store import Store

__all__ = ["FolderRecords", "Records", "StoreRecords"]

RECORDS = "records.json"
MOST_BYTES = 10_000


class Records(Protocol):
    """The records of a library's derived files, by key."""

    @property
    def writable(self) -> bool:
        """Whether a record can be written."""
        ...

    def get(self, key: str) -> str:
        """Return a record; "" if there is none."""
        ...

    def put(self, key: str, record: str) -> None:
        """Write a record. Raises OSError or LibraryFull if there is no room for it."""
        ...


class StoreRecords:
    """Records in the store of a library."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def writable(self) -> bool:
        """Whether the store may be changed."""
        return self._store.writable

    def get(self, key: str) -> str:
        """Return a record; "" if there is none."""
        return self._store.meta.get(key, "")

    def put(self, key: str, record: str) -> None:
        """Write a record."""
        self._store.set_meta(key, record)


class FolderRecords:
    """Records in a file of the folder of a machine, which can always be written: if not, files stay in memory."""

    writable = True

    def __init__(self, folder: Path) -> None:
        self._file = folder / RECORDS

    def get(self, key: str) -> str:
        """Return a record; "" if there is none, or the file is not valid."""
        return self._all().get(key, "")

    def put(self, key: str, record: str) -> None:
        """Write a record; of two processes that write at once, one may lose its record, and builds its file again."""
        records = {**self._all(), key: record}
        with replacing(self._file) as part:
            part.write_text(json.dumps(records), encoding="utf-8")

    def _all(self) -> dict[str, str]:
        try:
            found = json.loads(read_bounded(self._file, MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, str)}
