"""Listing of images in an order, a part at a time, as SQL."""

from __future__ import annotations

from typing import Any

from kindred.store.listing import Order, Position, Sort
from kindred.store.postgres.bounds import cut
from kindred.store.postgres.conditions import conditions, storable
from kindred.store.records import Filter

__all__ = ["counting", "listing"]

COLUMNS: dict[Sort, tuple[str, ...]] = {
    "added": ("i.id",),
    "taken": ("i.day", "i.taken", "i.id"),
    "path": ("i.path",),
}
"""The columns of each order; NULL is sorted before everything else, as SQLite does."""


def counting(where: Filter) -> tuple[str, list[Any]]:
    """Return the statement that counts the indexed images that match, and its values."""
    condition, values = conditions(where)
    return f"SELECT count(*) FROM images i WHERE i.state = 'indexed' AND {condition}", list(values)


def listing(where: Filter, order: Order, *, after: Position | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement that reads `limit` indexed images that match, from the position `after` on.

    Its rows are an id, a width and a height, 0 if unknown, and the position.
    """
    columns = COLUMNS[order.sort]
    condition, values = conditions(where)
    bound: list[Any] = list(values)
    beyond = "true"
    if after is not None:
        beyond = _beyond(columns, after, bound, descending=order.descending)
    way = "DESC NULLS LAST" if order.descending else "ASC NULLS FIRST"
    sql = f"""
        SELECT {cut("i.uid")}, coalesce(i.width, 0), coalesce(i.height, 0), {cut(", ".join(columns))} FROM images i
        WHERE i.state = 'indexed' AND {condition} AND {beyond}
        ORDER BY {", ".join(f"{column} {way}" for column in columns)} LIMIT %s
    """
    return sql, [*bound, limit]


def _beyond(columns: tuple[str, ...], after: Position, bound: list[Any], *, descending: bool) -> str:
    """Return the condition that a row comes after a position: greater in a column, and equal in those before it."""
    ways: list[str] = []
    for at, column in enumerate(columns):
        parts = [_equal(each, value, bound) for each, value in zip(columns[:at], after, strict=False)]
        parts.append(_greater(column, after[at], bound, descending=descending))
        ways.append(f"({' AND '.join(parts)})")
    return f"({' OR '.join(ways)})"


def _equal(column: str, value: int | str | bytes | None, bound: list[Any]) -> str:
    if value is None:
        return f"{column} IS NULL"
    bound.append(_stored(value))
    return f"{column} = %s"


def _greater(column: str, value: int | str | bytes | None, bound: list[Any], *, descending: bool) -> str:
    if value is None:
        return "false" if descending else f"{column} IS NOT NULL"
    bound.append(_stored(value))
    return f"({column} < %s OR {column} IS NULL)" if descending else f"{column} > %s"


def _stored(value: int | str | bytes) -> int | str | bytes:
    """Return a value that can be compared: a text with a NUL, which nothing stored has, is cut before it."""
    return value.partition("\0")[0] if isinstance(value, str) and not storable(value) else value
