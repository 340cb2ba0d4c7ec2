"""Filters as SQL: all values are bound parameters, never part of a statement."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kindred.store.filters import Condition, kind_of, to_stored
from kindred.store.keys import folder_range
from kindred.store.records import Filter

__all__ = ["Bound", "conditions", "marks"]

Bound = bytes | str | int | float


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
    if wanted.min_longest:
        found.append("max(width, height) >= ?")
        values.append(wanted.min_longest)
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


def marks(chunk: Sequence[object]) -> str:
    """Return one SQL placeholder per value."""
    return ", ".join("?" * len(chunk))
