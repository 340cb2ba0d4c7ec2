"""Filters that match nothing, and the reason: an unknown tag, key or folder, or a value of the wrong type."""

from __future__ import annotations

from kindred.hints import nearest
from kindred.library.paths import located
from kindred.store import Condition, Filter, Store
from kindred.store.filters import Kind, kind_of

__all__ = ["type_mismatch", "why_no_match"]

SHOWN = 60  # characters of a value
_ONE: dict[Kind, str] = {"text": "text", "number": "a number", "date": "a date"}
_ALL: dict[Kind, str] = {"text": "text", "number": "numbers", "date": "dates"}
_REMEDIES: dict[Kind, str] = {
    "text": "quotes make it text",
    "number": "write a number as 20",
    "date": "write a date as 2024-01-31",
}


def why_no_match(store: Store, where: Filter) -> str:
    """Return why no image matches a filter, as a sentence; "" if some do."""
    tags = store.tags() if where.tags else {}
    for tag in where.tags:
        if tag not in tags:
            return f"No image has the tag {tag!r}; {nearest(tag, tags)}."
    for condition in where.where:
        if why := type_mismatch(store, condition):
            return why
    if where.folder is not None and not store.count_under(located(where.folder)):
        return f"No image of the library is in {where.folder}."
    return "" if store.select_images(where).size else "No image matches the filter."


def type_mismatch(store: Store, condition: Condition) -> str:
    """Return a sentence if no image has the key of a condition, or none has a value of its type; "" otherwise.

    Values of different types are never equal, and neither is less than the other: `maker<5` matches nothing if all
    values of maker are text, and `maker!=5` matches every image that has the key.
    """
    key, kind = condition.key, kind_of(condition.value)
    kinds = store.metadata_kinds(key)
    if not kinds:
        return f"No image has metadata {key!r}; {nearest(key, store.metadata_keys())}."
    if kind in kinds:
        return ""
    present = " or ".join(_ALL[each] for each in sorted(kinds))
    remedy = "; ".join(_REMEDIES[each] for each in sorted(kinds))
    value = str(condition.value)[:SHOWN]
    return f"{value} is {_ONE[kind]}, and all values of {key!r} are {present}; {remedy}."
