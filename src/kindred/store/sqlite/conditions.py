"""Filters and paths as SQL: all values are bound parameters, never part of a statement."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from kindred.errors import UsageError
from kindred.store.filters import Condition, kind_of, to_stored
from kindred.store.records import Filter

__all__ = ["CHUNK", "Bound", "chunks", "conditions", "folder_range", "marks", "path_key"]

Item = TypeVar("Item")
Bound = bytes | str | int | float

CHUNK = 500
"""Values bound per statement: SQLite's lowest default limit is 999."""


def path_key(path: Path) -> bytes:
    """Return the stored form of `path`: the bytes of the file system."""
    if not path.is_absolute():
        raise UsageError(f"{path}: expected an absolute path; use path.absolute()")
    return os.fsencode(path)


def folder_range(folder: Path) -> tuple[bytes, bytes]:
    """Return the exclusive bounds of the stored paths of everything inside `folder`."""
    key = path_key(folder)
    separator = os.fsencode(os.sep)
    prefix = key if key.endswith(separator) else key + separator
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def conditions(wanted: Filter) -> tuple[list[str], list[Bound]]:
    """Return the SQL conditions on an image and the values they bind."""
    found: list[str] = []
    values: list[Bound] = []
    if wanted.folder is not None:
        found.append("path > ? AND path < ?")
        values.extend(folder_range(wanted.folder))
    for tag in wanted.tags:
        found.append("images.id IN (SELECT image_id FROM tags WHERE tag = ?)")
        values.append(tag)
    for tag in wanted.without_tags:
        found.append("images.id NOT IN (SELECT image_id FROM tags WHERE tag = ?)")
        values.append(tag)
    for comparison, day in (("day >= ?", wanted.after), ("day <= ?", wanted.before)):
        if day is not None:
            found.append(comparison)
            values.append(day.isoformat())
    if wanted.ids is not None:
        found.append("uid IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(wanted.ids)))
    for condition in wanted.where:
        sql, bound = _on_metadata(condition)
        found.append(f"images.id IN (SELECT image_id FROM metadata WHERE {sql})")
        values.extend(bound)
    return found, values


def _on_metadata(condition: Condition) -> tuple[str, list[Bound]]:
    """Return a condition on one row of metadata; `Condition` guarantees a known operator."""
    kind, value = kind_of(condition.value), to_stored(condition.key, condition.value)
    # A day is compared with the day of a date with a time.
    stored = "substr(value, 1, 10)" if kind == "date" and len(str(value)) == 10 else "value"
    if condition.op == "!=":
        return f"key = ? AND NOT (kind = ? AND {stored} = ?)", [condition.key, kind, value]
    return f"key = ? AND kind = ? AND {stored} {condition.op} ?", [condition.key, kind, value]


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Split a sequence into parts of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def marks(chunk: Sequence[object]) -> str:
    """Return one SQL placeholder per value."""
    return ", ".join("?" * len(chunk))
