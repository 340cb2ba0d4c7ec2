"""Bounds of cells, as SQL: what is larger than Kindred ever writes it does not leave the server.

A cell may hold a gigabyte. Its size is known to the server without reading it.
"""

from __future__ import annotations

from kindred.store.cells import PATH_BYTES
from kindred.store.entries import TAG_LENGTH
from kindred.store.filters import KEY_LENGTH, VALUE_LENGTH
from kindred.store.saved import NAME_LENGTH, SEARCH_BYTES

__all__ = ["bounded", "cut", "within"]

DIGEST_BYTES = 32
"""Length of a SHA-256; digests of descriptions are shorter."""
SHORT, REASON = 100, 10_000
"""Characters of ids, times, versions and other texts that Kindred makes, which have fewer; and of reasons."""

BYTES = {"path": PATH_BYTES, "digest": DIGEST_BYTES, "description": DIGEST_BYTES}
"""Columns of bytes that are read with others, and their maximum length."""
TEXTS = {
    **dict.fromkeys(("uid", "uuid", "taken", "day", "state", "version", "kind", "seen"), SHORT),
    **dict.fromkeys(("started", "finished", "saved_at"), SHORT),
    "reason": REASON,
    "tag": TAG_LENGTH,
    "key": KEY_LENGTH,
    "value": VALUE_LENGTH,
    "name": NAME_LENGTH,
    "search": SEARCH_BYTES,
}
"""Columns of text, and their maximum length in characters."""


def within(column: str, most: int) -> str:
    """Return an expression of a column of bytes that is NULL where it is larger than `most` bytes."""
    return f"CASE WHEN octet_length({column}) <= {most} THEN {column} END"


def bounded(column: str, most: int) -> str:
    """Return `within` and the size, as two columns, for `Cells.bounded_bytes`."""
    return f"{within(column, most)}, octet_length({column})"


def cut(columns: str) -> str:
    """Return names of columns in which texts, paths and digests that are too long are cut off, but still too long.

    >>> cut("i.id, i.path, reason")
    'i.id, substr(i.path, 1, 100001), left(reason, 10001)'
    """
    return ", ".join(map(_cut, columns.split(", ")))


def _cut(column: str) -> str:
    name = column.rpartition(".")[2]
    if name in BYTES:
        return f"substr({column}, 1, {BYTES[name] + 1})"
    return f"left({column}, {TEXTS[name] + 1})" if name in TEXTS else column
