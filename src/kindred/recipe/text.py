"""Values of a recipe as TOML."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from typing import TypeGuard

__all__ = ["as_floats", "as_toml", "is_number", "read_value"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(value: object) -> str:
    """Write a plain value as TOML, tables in one line."""
    if isinstance(value, Mapping):
        keys = {key: key if _BARE_KEY.fullmatch(key) else as_toml(key) for key in value}
        return f"{{ {', '.join(f'{keys[key]} = {as_toml(each)}' for key, each in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    # JSON's strings, numbers and booleans are valid TOML, except for DEL, which TOML requires to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_value(text: str) -> object:
    """Parse a TOML value; anything else is taken as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number or a boolean."""
    return isinstance(value, int | float) and math.isfinite(value)


def as_floats(value: object) -> object:
    """Return a value with integers as floats: p = 3 and p = 3.0 are equivalent."""
    if isinstance(value, Mapping):
        return {key: as_floats(each) for key, each in sorted(value.items())}
    if isinstance(value, tuple | list):
        return [as_floats(each) for each in value]
    return float(value) if is_number(value) else value
