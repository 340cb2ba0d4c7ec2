"""The description of the API (OpenAPI 3.1): requests from their models, answers from the forms of `kindred.service`."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

from fastapi import FastAPI

from kindred.library import Library
from kindred.server import answered
from kindred.service import ChangeForm, ExplanationForm, Form
from kindred.service.duplicates import NotSameForm
from kindred.service.reading import types_of

__all__ = ["PLACEHOLDERS", "describe_api", "schema_of"]

Schema = dict[str, object]

PLACEHOLDERS = ("0123456789abcdef", "fedcba9876543210")
"""Ids in examples that become those of images of the library, so that the examples work."""

PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457): one line, and what to do about it.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "error": {"type": "string", "description": "The class of the error in Python, if it has one."},
    },
    "required": ["type", "title", "status", "detail"],
}

_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_ROWS: Schema = {"type": "array", "items": _NUMBERS}
_PAIR: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}

OWN: dict[type[Form], Schema] = {
    ChangeForm: {
        "type": "object",
        "properties": {
            **{verb: {"type": "integer", "minimum": 0} for verb in ("tagged", "untagged", "changed", "removed")},
            "not_in_library": _TEXTS,
        },
        "required": ["not_in_library"],
    },
    NotSameForm: {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
    ExplanationForm: {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "kind": {"const": "keypoints"},
                    "query_size": _PAIR,
                    "image_size": _PAIR,
                    "matches": _ROWS,
                    "inliers": {"type": "integer"},
                    "homography": _ROWS,
                },
                "required": ["kind", "query_size", "image_size", "matches", "inliers", "homography"],
            },
            {
                "type": "object",
                "properties": {
                    "kind": {"const": "maps"},
                    "rows": {"type": "integer"},
                    "columns": {"type": "integer"},
                    "query": _ROWS,
                    "image": _ROWS,
                },
                "required": ["kind", "rows", "columns", "query", "image"],
            },
        ]
    },
}
"""The schemas of forms whose JSON is not that of their fields."""


def describe_api(app: FastAPI, library: Library) -> Schema:
    """Return the description of the API of an application, with examples that name images of its library."""
    described: Any = app.openapi()
    schemas: dict[str, Schema] = described.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            key = f"{method.upper()} {path.removeprefix('/api/v1')}"
            operation["operationId"] = _name_of(key)
            _answers(operation, key, schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    ids = library.layout(limit=2).ids
    named = dict(zip(PLACEHOLDERS, ids if len(ids) == 2 else ids * 2, strict=False))
    return cast(Schema, _replaced(described, named))


def _answers(operation: dict[str, Any], key: str, schemas: dict[str, Schema]) -> None:
    """Describe the answers of an operation: its form or its type, and problems for everything else."""
    responses = operation["responses"]
    responses.pop("422", None)
    for status, answer in responses.items():
        if key in answered.FORMS and status.startswith("2") and status != "204":
            schema = schema_of(answered.FORMS[key], schemas)
            answer["content"] = {"application/json": {"schema": schema}}
        if key in answered.TYPES and status == "200":
            answer["content"] = {kind: {"schema": {}} for kind in answered.TYPES[key]}
    if key in answered.TAGGED:
        responses["304"] = {"description": "The client has the same (If-None-Match)"}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses["default"] = {"description": "A problem", "content": content}


def schema_of(kind: object, schemas: dict[str, Schema]) -> Schema:
    """Return the JSON schema of the values of a type; those of forms are added to `schemas` and referred to."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each, schemas) for each in arguments]}
    if isinstance(kind, type) and issubclass(kind, Form):
        return _of_form(kind, schemas)
    if origin in (tuple, list, Sequence):
        return _of_sequence(arguments, schemas)
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], schemas)}
    if origin is not None and str(origin).endswith("Literal"):
        return {"enum": list(arguments)}
    return dict(_PLAIN.get(kind, {}))


_PLAIN: dict[object, Schema] = {
    str: {"type": "string"},
    Path: {"type": "string"},
    date: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},  # not finite: null
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    None: {"type": "null"},
}


def _of_sequence(arguments: tuple[object, ...], schemas: dict[str, Schema]) -> Schema:
    if len(arguments) == 1 or arguments[1:] == (...,):
        return {"type": "array", "items": schema_of(arguments[0], schemas)}
    return {"type": "array", "prefixItems": [schema_of(each, schemas) for each in arguments]}


def _of_form(kind: type[Form], schemas: dict[str, Schema]) -> Schema:
    name = kind.__name__.removesuffix("Form")
    if name not in schemas:
        schemas[name] = {}  # first, because a form may contain itself
        schemas[name] = OWN[kind] if kind in OWN else _of_fields(kind, schemas)
        schemas[name] = {"description": _sentence(kind), **schemas[name]}
    return {"$ref": f"#/components/schemas/{name}"}


def _of_fields(kind: type[Form], schemas: dict[str, Schema]) -> Schema:
    assert is_dataclass(kind)
    hints = types_of(kind)
    properties = {field.name: schema_of(hints[field.name], schemas) for field in fields(kind)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _sentence(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _name_of(key: str) -> str:
    """Return a short name for an operation, from its method and path.

    >>> _name_of("GET /images/{uid}/thumbnail")
    'get_images_uid_thumbnail'
    """
    return "_".join(word.strip("{}").replace("-", "_") for word in key.lower().replace("/", " ").split())


def _replaced(value: object, named: Mapping[str, str]) -> object:
    """Return a copy of a JSON value with some texts replaced."""
    if isinstance(value, dict):
        return {key: _replaced(each, named) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, named) for each in value]
    return named.get(value, value) if isinstance(value, str) else value
