"""What users decided about images, and their saved searches: functions on a connection in a transaction.

A store of format 12 has no tables for them; it is read as if they were empty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.store.cells import Cells
from kindred.store.entries import new_uid, now
from kindred.store.keys import numbered_pairs
from kindred.store.records import Key
from kindred.store.saved import MOST_SAVED, NAME_LENGTH, SEARCH_BYTES, SavedSearch
from kindred.store.sqlite.marking import image_numbers
from kindred.store.sqlite.schema import format_of
from kindred.store.sqlite.writing import next_revision

__all__ = ["drop_search", "put_pairs", "put_search", "read_pairs", "read_searches", "remove_pairs"]

SINCE = 13
"""The first format with these tables."""


def read_pairs(connection: sqlite3.Connection, cells: Cells) -> NDArray[np.int64]:
    """Return the pairs of images, by number, that are not the same, (n, 2)."""
    if format_of(connection) < SINCE:
        return np.empty((0, 2), np.int64)
    found = connection.execute("SELECT one, other FROM not_same ORDER BY one, other")
    checked = (cells.natural(each, "table not_same", "image") for each in chain.from_iterable(found))
    return np.fromiter(checked, np.int64).reshape(-1, 2)


def put_pairs(connection: sqlite3.Connection, pairs: Iterable[tuple[Key, Key]]) -> int:
    """Mark pairs of images as not the same; return how many pairs of different images there were."""
    known = _numbered(connection, list(pairs))
    if known:
        next_revision(connection)
        connection.executemany("INSERT OR IGNORE INTO not_same VALUES (?, ?)", known)
    return len(known)


def remove_pairs(connection: sqlite3.Connection, pairs: Iterable[tuple[Key, Key]]) -> int:
    """Remove the marks of pairs of images; return how many there were."""
    known = _numbered(connection, list(pairs))
    removed = connection.executemany("DELETE FROM not_same WHERE one = ? AND other = ?", known).rowcount
    if removed > 0:
        next_revision(connection)
    return max(removed, 0)


def _numbered(connection: sqlite3.Connection, pairs: Sequence[tuple[Key, Key]]) -> list[tuple[int, int]]:
    return numbered_pairs(pairs, image_numbers(connection, chain.from_iterable(pairs)))


def read_searches(connection: sqlite3.Connection, cells: Cells) -> list[SavedSearch]:
    """Return the saved searches, ordered by name."""
    if format_of(connection) < SINCE:
        return []
    # Lengths are checked in SQL, since the file may come from others: at most 64 MB in total.
    sql = """
        SELECT uid, name, search, saved_at FROM saved_searches
        WHERE length(name) <= ? AND length(CAST(search AS BLOB)) <= ? ORDER BY name LIMIT ?
    """
    found = connection.execute(sql, (NAME_LENGTH, SEARCH_BYTES, MOST_SAVED)).fetchall()
    return [SavedSearch(*(cells.text(cell, "table saved_searches", "a column") for cell in row)) for row in found]


def put_search(connection: sqlite3.Connection, name: str, search: str) -> SavedSearch:
    """Save a search, or replace that of the same name."""
    known = connection.execute("SELECT uid FROM saved_searches WHERE name = ?", (name,)).fetchone()
    if known is None and connection.execute("SELECT count(*) FROM saved_searches").fetchone()[0] >= MOST_SAVED:
        raise UsageError(f"search {name!r}: the library has {MOST_SAVED:,} saved searches; remove some first")
    saved = SavedSearch(str(known[0]) if known else new_uid(), name, search, now())
    next_revision(connection)
    sql = "INSERT OR REPLACE INTO saved_searches VALUES (?, ?, ?, ?)"
    connection.execute(sql, (saved.id, saved.name, saved.search, saved.saved_at))
    return saved


def drop_search(connection: sqlite3.Connection, uid: str) -> bool:
    """Remove a saved search; return whether there was one."""
    removed = connection.execute("DELETE FROM saved_searches WHERE uid = ?", (uid,)).rowcount > 0
    if removed:
        next_revision(connection)
    return removed
