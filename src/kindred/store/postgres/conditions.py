"""Filters as SQL: all values are bound parameters, never part of a statement."""

from __future__ import annotations

from decimal import Decimal

from kindred.store.filters import Condition, Stored, kind_of, to_stored
from kindred.store.keys import folder_range
from kindred.store.records import Filter

__all__ = ["conditions", "number_text", "storable"]

SHORT = 100
"""Characters of a text in the index of metadata."""

Bound = bytes | str | int | Decimal | list[str]


def conditions(wanted: Filter) -> tuple[str, list[Bound]]:
    """Return the SQL condition on a row of images, named i, and the values it binds; "true" for no condition."""
    found: list[str] = []
    values: list[Bound] = []
    if wanted.folder is not None:
        found.append("i.path > %s AND i.path < %s")
        values.extend(folder_range(wanted.folder))
    for tag in wanted.tags:
        found.append("i.id IN (SELECT image_id FROM tags WHERE tag = %s)")
        values.append(tag)
    if wanted.without_tags:
        found.append("NOT EXISTS (SELECT 1 FROM tags t WHERE t.image_id = i.id AND t.tag = ANY(%s))")
        values.append([tag for tag in wanted.without_tags if storable(tag)])
    for comparison, day in (("i.day >= %s", wanted.after), ("i.day <= %s", wanted.before)):
        if day is not None:
            found.append(comparison)
            values.append(day.isoformat())
    if wanted.ids is not None:
        found.append("i.uid = ANY(%s)")
        values.append(list(wanted.ids))
    if wanted.min_longest:
        found.append("greatest(i.width, i.height) >= %s")
        values.append(wanted.min_longest)
    for condition in wanted.where:
        sql, bound = _on_metadata(condition)
        found.append(f"i.id IN (SELECT image_id FROM metadata WHERE {sql})")
        values.extend(bound)
    if not all(storable(value) for value in values if isinstance(value, str)):
        return "false", []  # no text with a NUL is stored
    return " AND ".join(found) or "true", values


def _on_metadata(condition: Condition) -> tuple[str, list[Bound]]:
    """Return a condition on one row of metadata; `Condition` guarantees a known operator."""
    kind, value = kind_of(condition.value), to_stored(condition.key, condition.value)
    bound: Bound = Decimal(number_text(value)) if kind == "number" else str(value)
    # A day is compared with the day of a date with a time.
    day = kind == "date" and len(str(value)) == 10
    stored = "number" if kind == "number" else "left(value, 10)" if day else "value"
    if condition.op == "!=":
        return f"key = %s AND NOT (kind = %s AND {stored} = %s)", [condition.key, kind, bound]
    if condition.op == "=" and stored == "value":  # by the index of the start of the text
        sql = f"key = %s AND kind = %s AND left(value, {SHORT}) = %s AND value = %s"
        return sql, [condition.key, kind, str(value)[:SHORT], bound]
    return f"key = %s AND kind = %s AND {stored} {condition.op} %s", [condition.key, kind, bound]


def number_text(value: Stored) -> str:
    """Return a number as Python writes it, from which it is read as the same number of the same type."""
    return repr(value)


def storable(text: str) -> bool:
    """Return whether a database can store text: it cannot store the character NUL."""
    return "\0" not in text
