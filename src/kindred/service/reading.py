"""Reading forms: from the JSON of a server back to the dataclass."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from kindred.errors import ServerError
from kindred.service.form import Form

__all__ = ["read_form", "types_of"]

F = TypeVar("F", bound=Form)

NAMES: dict[str, object] = {"Value": str | int | float, "Mapping": Mapping, "Sequence": Sequence, "Path": Path}
"""Names in the annotations of forms that their modules import for type checkers only."""

_TYPES: dict[type[Form], dict[str, object]] = {}


def types_of(kind: type[Form]) -> dict[str, object]:
    """Return the types of the fields of a form, by name."""
    if kind not in _TYPES:
        _TYPES[kind] = dict(get_type_hints(kind, localns=NAMES))
    return _TYPES[kind]


def read_form(kind: type[F], found: object) -> F:
    """Return the form whose `to_json` is `found`; keys that it does not have are ignored.

    Raises ServerError if a key is missing or a value has another type.
    """
    assert is_dataclass(kind)
    if not isinstance(found, Mapping):
        raise _other(kind.__name__, found)
    hints = types_of(kind)
    missing = [field.name for field in fields(kind) if field.name not in found]
    if missing:
        raise ServerError(f"the answer of the server has no {missing[0]!r}; it is of another version")
    values = {field.name: _value(hints[field.name], found[field.name], field.name) for field in fields(kind)}
    return kind(**values)


def _value(kind: object, found: object, name: str) -> object:
    """Return a JSON value as one of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if found is None and type(None) in arguments:
            return None
        return _first(arguments, found, name)
    if isinstance(kind, type) and issubclass(kind, Form):
        return read_form(kind, found)
    if origin is tuple:
        return _tuple(arguments, found, name)
    if origin in (dict, Mapping) and isinstance(found, dict):
        return {str(key): _value(arguments[1], each, name) for key, each in found.items()}
    if kind is Path and isinstance(found, str):
        return Path(found)
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if kind is object or (origin is Literal and found in arguments):
        return found
    if origin is None and isinstance(kind, type) and isinstance(found, kind):
        return found
    raise _other(name, found)


def _first(kinds: Sequence[object], found: object, name: str) -> object:
    """Return a value as the first of several types that it can be."""
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _value(kind, found, name)
        except ServerError:
            continue
    raise _other(name, found)


def _tuple(arguments: tuple[object, ...], found: object, name: str) -> tuple[object, ...]:
    if not isinstance(found, list):
        raise _other(name, found)
    kinds = [arguments[0]] * len(found) if arguments[1:] == (...,) else list(arguments)
    if len(kinds) != len(found):
        raise _other(name, found)
    return tuple(_value(kind, each, name) for kind, each in zip(kinds, found, strict=True))


def _other(name: str, found: object) -> ServerError:
    return ServerError(f"the answer of the server has {str(found)[:60]!r} as {name}; it is of another version")
