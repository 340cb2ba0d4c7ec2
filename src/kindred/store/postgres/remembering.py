"""What users decided about images, and their saved searches: functions on a connection in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from kindred.errors import UsageError
from kindred.store.entries import new_uid, now
from kindred.store.keys import numbered_pairs
from kindred.store.postgres.conditions import storable
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import fetch
from kindred.store.postgres.marking import image_numbers
from kindred.store.postgres.writing import next_revision
from kindred.store.records import Key
from kindred.store.saved import MOST_SAVED, SavedSearch

__all__ = ["drop_search", "put_pairs", "put_search", "remove_pairs"]


def put_pairs(connection: TimedConnection, pairs: Sequence[tuple[Key, Key]]) -> int:
    """Mark pairs of images as not the same; return how many pairs of different images there were."""
    known = _numbered(connection, pairs)
    if known:
        next_revision(connection)
        sql = "INSERT INTO not_same SELECT * FROM unnest(%s::int8[], %s::int8[]) ON CONFLICT DO NOTHING"
        fetch(connection, sql, [list(column) for column in zip(*known, strict=True)])
    return len(known)


def remove_pairs(connection: TimedConnection, pairs: Sequence[tuple[Key, Key]]) -> int:
    """Remove the marks of pairs of images; return how many there were."""
    known = _numbered(connection, pairs)
    if not known:
        return 0
    sql = """
        DELETE FROM not_same USING unnest(%s::int8[], %s::int8[]) AS n (one, other)
        WHERE not_same.one = n.one AND not_same.other = n.other RETURNING not_same.one
    """
    removed = len(fetch(connection, sql, [list(column) for column in zip(*known, strict=True)]))
    if removed:
        next_revision(connection)
    return removed


def _numbered(connection: TimedConnection, pairs: Sequence[tuple[Key, Key]]) -> list[tuple[int, int]]:
    return numbered_pairs(pairs, image_numbers(connection, chain.from_iterable(pairs)))


def put_search(connection: TimedConnection, name: str, search: str) -> SavedSearch:
    """Save a search, or replace that of the same name."""
    if not storable(name) or not storable(search):
        raise UsageError(f"name of a search: got {name!r:.80}; expected text without the character NUL")
    known = fetch(connection, "SELECT uid FROM saved_searches WHERE name = %s", (name,))
    if not known and fetch(connection, "SELECT count(*) FROM saved_searches")[0][0] >= MOST_SAVED:
        raise UsageError(f"search {name!r}: the library has {MOST_SAVED:,} saved searches; remove some first")
    saved = SavedSearch(known[0][0] if known else new_uid(), name, search, now())
    next_revision(connection)
    sql = """
        INSERT INTO saved_searches (uid, name, search, saved_at) VALUES (%s, %s, %s, %s)
        ON CONFLICT (uid) DO UPDATE SET search = excluded.search, saved_at = excluded.saved_at
    """
    fetch(connection, sql, (saved.id, saved.name, saved.search, saved.saved_at))
    return saved


def drop_search(connection: TimedConnection, uid: str) -> bool:
    """Remove a saved search; return whether there was one."""
    if not storable(uid) or not fetch(connection, "DELETE FROM saved_searches WHERE uid = %s RETURNING uid", (uid,)):
        return False
    next_revision(connection)
    return True
