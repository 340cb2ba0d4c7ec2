"""Form: base of the dataclasses whose fields are JSON keys."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

__all__ = ["Form", "json_text", "plain"]


@dataclass(frozen=True)
class Form:
    """The base of all forms: `to_json` returns dictionaries, lists, text, numbers, booleans and None."""

    def to_json(self) -> dict[str, object]:
        """Return the fields by name, as JSON types."""
        own = type(self).__annotations__
        names = sorted((field.name for field in fields(self)), key=lambda name: name not in own)
        return {name: plain(getattr(self, name)) for name in names}


def plain(value: object) -> object:
    """Return a value as a JSON type: paths and dates as text, tuples as lists, non-finite numbers as None.

    >>> plain({"path": Path("a.jpg"), "score": float("nan"), "box": (1, 2)})
    {'path': 'a.jpg', 'score': None, 'box': [1, 2]}
    """
    if isinstance(value, Form):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):  # includes datetime
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: object) -> str:
    r"""Return a JSON type as compact JSON that can be encoded as UTF-8.

    Lone surrogates, which are in names of files that are not UTF-8, are escaped.

    >>> json_text({"names": ["é.jpg"]}), json_text({"names": ["\udce9.jpg"]})
    ('{"names":["é.jpg"]}', '{"names":["\\udce9.jpg"]}')
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text
