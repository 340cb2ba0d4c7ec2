"""Model cards as TOML: read into dataclasses with every value checked, and written key by key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import TypeAlias, TypeVar

from kindred.backbones.card_parts import ClassifierHead, DetectorHead, LocalHead, Tap
from kindred.errors import ModelError
from kindred.hints import check_known

__all__ = ["Scalar", "from_table", "line_of", "non_default_lines"]

Scalar: TypeAlias = str | int | float
T = TypeVar("T")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def from_table(cls: type[T], table: Mapping[str, object], where: str) -> T:
    """Build a dataclass from a TOML table; raise ModelError for unknown or missing keys."""
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]  # T is Card or a part of it
    for key in table:
        check_known("key", key, known, error=ModelError, where=where)
    for key, item in known.items():
        if key not in table and item.default is MISSING and item.default_factory is MISSING:
            raise ModelError(f"{where}: the key {key!r} is missing")
    return cls(**{key: _READERS[key](value, f"{where}: {key}") for key, value in table.items()})


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{where} is {value!r}; expected a quoted string")
    return value


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelError(f"{where} is {value!r}; expected a whole number")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{where} is {value!r}; expected a number")
    return float(value)


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ModelError(f"{where} is {value!r}; expected true or false")
    return value


def _numbers(value: object, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise ModelError(f"{where} is {value!r}; expected a list of numbers")
    return tuple(float(x) for x in value)


def _size(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ModelError(f"{where} is {value!r}; expected [height, width] in pixels")
    return tuple(_whole(x, where) for x in value)


def _taps(value: object, where: str) -> tuple[Tap, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ModelError(f"{where} is {value!r}; expected tables, each headed [[taps]]")
    return tuple(from_table(Tap, entry, where) for entry in value)


def _table(part: type[T]) -> Callable[[object, str], T]:
    """Return the reader of a table whose keys are the fields of `part`."""

    def read(value: object, where: str) -> T:
        if not isinstance(value, dict):
            raise ModelError(f"{where} is {value!r}; expected a table, headed [{where.rpartition(' ')[2]}]")
        return from_table(part, value, where)

    return read


def _scalars(value: object, where: str) -> dict[str, Scalar]:
    if not isinstance(value, dict):
        raise ModelError(f"{where} is {value!r}; expected a table of strings and numbers")
    for key, entry in value.items():
        if isinstance(entry, bool) or not isinstance(entry, str | int | float):
            raise ModelError(f"{where}.{key} is {entry!r}; expected a string or a number")
    return value


_READERS: dict[str, Callable[[object, str], object]] = {
    **dict.fromkeys(("name", "file", "digest", "description", "licence", "source", "channel_order", "layout"), _text),
    **dict.fromkeys(("input_name", "default_tap", "tensor"), _text),
    **dict.fromkeys(("boxes", "scores", "form", "units", "maps", "weights", "tap"), _text),
    **dict.fromkeys(("channels", "stride", "background"), _whole),
    **dict.fromkeys(("mean", "std"), _numbers),
    "input_size": _size,
    "taps": _taps,
    "detector": _table(DetectorHead),
    "classifier": _table(ClassifierHead),
    **dict.fromkeys(("descriptors", "describe", "describe_digest", "precision", "matcher", "matcher_digest"), _text),
    **dict.fromkeys(("dimension", "multiple"), _whole),
    **dict.fromkeys(("centre", "ratio", "matcher_threshold"), _number),
    "signs": _flag,
    "local": _table(LocalHead),
    "training": _scalars,
}


def non_default_lines(part: DetectorHead | ClassifierHead | LocalHead) -> list[str]:
    """Return the TOML lines of the fields that differ from their defaults."""
    values = [(item, getattr(part, item.name)) for item in fields(part)]
    return [line_of(item.name, value) for item, value in values if value != item.default]


def line_of(key: str, value: object) -> str:
    """Return a key and its value as a line of TOML."""
    return f"{key if _BARE_KEY.fullmatch(key) else _quoted(key)} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if not isinstance(value, int | float):
        raise TypeError(f"expected a string or a number in a card, not {value!r}")
    return repr(int(value) if isinstance(value, int) else float(value))  # NumPy's floats print as np.float64(…)


def _quoted(text: str) -> str:
    # JSON and TOML escape alike, except that TOML requires DEL to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
