"""Listing of images in an order, a part at a time, as SQL."""

from __future__ import annotations

import sqlite3

import numpy as np

from kindred.store.cells import Cells
from kindred.store.listing import Listed, Order, Position, Sort
from kindred.store.records import Filter
from kindred.store.sqlite.conditions import Bound, conditions

__all__ = ["count_images", "list_images"]

COLUMNS: dict[Sort, tuple[str, ...]] = {
    "added": ("images.id",),
    "taken": ("day", "taken", "images.id"),
    "path": ("path",),
}
"""The columns of each order; SQLite sorts NULL before everything else."""


def count_images(connection: sqlite3.Connection, where: Filter) -> int:
    """Count the indexed images that match."""
    found, values = conditions(where)
    sql = f"SELECT count(*) FROM images WHERE {' AND '.join([*found, 'state = ?'])}"
    return int(connection.execute(sql, [*values, "indexed"]).fetchone()[0])


def list_images(
    connection: sqlite3.Connection,
    cells: Cells,
    where: Filter,
    order: Order,
    *,
    after: Position | None,
    limit: int,
) -> Listed:
    """Return up to `limit` indexed images that match, from the position `after` on."""
    columns = COLUMNS[order.sort]
    found, values = conditions(where)
    found.append("state = 'indexed'")
    if after is not None:
        sql, bound = _beyond(columns, after, descending=order.descending)
        found.append(sql)
        values.extend(bound)
    way = "DESC" if order.descending else "ASC"
    sql = (
        f"SELECT uid, width, height, {', '.join(columns)} FROM images WHERE {' AND '.join(found)} "
        f"ORDER BY {', '.join(f'{column} {way}' for column in columns)} LIMIT ?"
    )
    rows = connection.execute(sql, [*values, limit + 1]).fetchall()
    following = tuple(rows[limit - 1][3:]) if len(rows) > limit else None
    rows = rows[:limit]
    sizes = [[cells.optional_natural(side, row[0], "size") or 0 for side in row[1:3]] for row in rows]
    uids = tuple(cells.text(row[0], "images", "uid") for row in rows)
    return Listed(uids, np.array(sizes, np.int32).reshape(-1, 2), following)


def _beyond(columns: tuple[str, ...], after: Position, *, descending: bool) -> tuple[str, list[Bound]]:
    """Return the condition that a row comes after a position: greater in a column, and equal in those before it."""
    ways: list[str] = []
    bound: list[Bound] = []
    for at, column in enumerate(columns):
        parts = [_equal(each, value, bound) for each, value in zip(columns[:at], after, strict=False)]
        parts.append(_greater(column, after[at], bound, descending=descending))
        ways.append(f"({' AND '.join(parts)})")
    return f"({' OR '.join(ways)})", bound


def _equal(column: str, value: int | str | bytes | None, bound: list[Bound]) -> str:
    if value is None:
        return f"{column} IS NULL"
    bound.append(value)
    return f"{column} = ?"


def _greater(column: str, value: int | str | bytes | None, bound: list[Bound], *, descending: bool) -> str:
    if value is None:
        return "0" if descending else f"{column} IS NOT NULL"
    bound.append(value)
    return f"({column} < ? OR {column} IS NULL)" if descending else f"{column} > ?"
