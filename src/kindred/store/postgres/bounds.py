"""Bounds of cells, as SQL: what is larger than Kindred ever writes it does not leave the server.

A cell may hold a gigabyte. Its size is known to the server without reading it.
"""

from __future__ import annotations

import re

from kindred.store.cells import PATH_BYTES

__all__ = ["DIGEST_BYTES", "bounded", "cut", "within"]

DIGEST_BYTES = 32
"""Length of a SHA-256; digests of descriptions are shorter."""
CUT = {"path": PATH_BYTES, "digest": DIGEST_BYTES, "description": DIGEST_BYTES}
"""Columns of bytes that are in rows with others, and their maximum length."""


def within(column: str, most: int) -> str:
    """Return an expression of a column of bytes that is NULL where it is larger than `most` bytes."""
    return f"CASE WHEN octet_length({column}) <= {most} THEN {column} END"


def bounded(column: str, most: int) -> str:
    """Return `within` and the size, as two columns, for `Cells.bounded_bytes`."""
    return f"{within(column, most)}, octet_length({column})"


def cut(columns: str) -> str:
    """Return columns of a table in which paths and digests that are too long are cut off, but still too long.

    >>> cut("i.id, i.path")
    'i.id, substr(i.path, 1, 100001)'
    """
    for name, most in CUT.items():
        columns = re.sub(rf"(?<![\w.])(\w+\.)?{name}\b", rf"substr(\g<0>, 1, {most + 1})", columns)
    return columns
