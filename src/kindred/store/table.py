"""The table of stores, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kindred.store.protocol import Store
from kindred.store.sqlite import SqliteStore

__all__ = ["STORES", "StoreEntry"]


@dataclass(frozen=True)
class StoreEntry:
    """One entry of STORES.

    summary: the kind of database, in a few words. create: creates an empty store in a folder, with facts about the
    library as a whole, and opens it. open: opens the store in a folder.
    """

    summary: str
    create: Callable[[Path, Mapping[str, str]], Store]
    open: Callable[[Path], Store]


FILE = "store.sqlite"

STORES: dict[str, StoreEntry] = {
    "sqlite": StoreEntry(
        "one SQLite file",
        lambda folder, meta: SqliteStore.create(folder / FILE, meta),
        lambda folder: SqliteStore.open(folder / FILE),
    ),
}
