"""Saved searches: a name, and the search as JSON, which the store keeps without interpreting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kindred.errors import UsageError
from kindred.hints import check_type

__all__ = ["MOST_SAVED", "NAME_LENGTH", "SEARCH_BYTES", "SavedSearch", "checked_name", "checked_search"]

NAME_LENGTH = 200
"""Maximum length of a name, in characters."""
SEARCH_BYTES = 1 << 16
"""Maximum size of a search as JSON: a vector of 2,048 numbers takes about 40 kB."""
MOST_SAVED = 1000
"""Maximum number of saved searches per library."""


@dataclass(frozen=True)
class SavedSearch:
    """A saved search. id: 16 hexadecimal digits. search: its JSON object as text. saved_at: UTC, ISO."""

    id: str
    name: str
    search: str
    saved_at: str


def checked_name(name: str) -> str:
    """Return a name without spaces at its ends. Raises UsageError if it is empty, too long or not valid text."""
    plain = name.strip() if isinstance(name, str) else ""
    try:
        plain.encode("utf-8")
    except UnicodeEncodeError:
        plain = ""
    if not plain or len(plain) > NAME_LENGTH:
        raise UsageError(f"name of a search: got {name!r:.80}; expected text of 1 to {NAME_LENGTH} characters")
    return plain


def checked_search(search: Mapping[str, object]) -> str:
    """Return a search as JSON text. Raises UsageError for what JSON cannot represent, or for more than `SEARCH_BYTES`.

    >>> checked_search({"query": [{"image": "00112233445566aa"}], "k": 30})
    '{"query":[{"image":"00112233445566aa"}],"k":30}'
    """
    check_type("search", search, Mapping, "a JSON object, such as {'query': []}")
    try:
        text = json.dumps(dict(search), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode("utf-8"))
    except (TypeError, ValueError, RecursionError):  # includes lone surrogates
        raise UsageError(
            "search: cannot be written as JSON; expected text, finite numbers, lists and objects"
        ) from None
    if size > SEARCH_BYTES:
        raise UsageError(f"search: takes {size:,} bytes as JSON; expected at most {SEARCH_BYTES:,}")
    return text
