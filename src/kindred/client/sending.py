"""What a client sends: images as bytes, queries and filters as JSON."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import cast

import numpy as np

from kindred._support.files import is_there, read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.arrays import Vectors, as_rows, l2_normalise
from kindred.errors import ImageError, UsageError
from kindred.images import ImageLike, as_image
from kindred.library.query import Query
from kindred.store import Filter, Value, is_uid

__all__ = [
    "as_json_value",
    "filter_body",
    "filter_parameters",
    "image_bytes",
    "is_stored",
    "is_vectors",
    "listed",
    "mean_of",
]

MOST_BYTES = 1 << 30


def image_bytes(image: ImageLike) -> bytes:
    """Return an image as an encoded file: a file as it is, pixels as PNG. Raises ImageError or UsageError."""
    from PIL import Image  # loaded late: most programs send files

    given = as_image(image)
    if isinstance(given, bytes):
        return given
    if isinstance(given, str | Path):
        try:
            return read_bounded(given, MOST_BYTES)
        except OSError as error:
            raise ImageError(given, f"cannot be read: {explain_os_error(error)}", final=False) from error
    file = io.BytesIO()
    picture = given if isinstance(given, Image.Image) else Image.fromarray(np.asarray(given))
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def is_vectors(query: object) -> bool:
    """Return whether a query is one or several vectors."""
    return isinstance(query, np.ndarray) and query.dtype.kind == "f"


def listed(query: Query) -> list[object]:
    """Return the images of a query: ids, paths and pictures."""
    return list(query) if isinstance(query, list | tuple) else [query]


def mean_of(vectors: Vectors) -> Vectors:
    """Return the mean of vectors (N, D) as a unit vector (D,); each counts with its direction only."""
    rows = as_rows(np.atleast_2d(vectors), "query")
    if not len(rows) or not rows.any(axis=1).all():
        raise UsageError("search: the query vector is zero or there is none; give another one")
    return cast(Vectors, l2_normalise(l2_normalise(rows).mean(axis=0)))


def is_stored(query: object) -> bool:
    """Return whether a query is the id of an image of the library, and not the name of a file here."""
    return isinstance(query, str) and is_uid(query) and not is_there(query)


def filter_body(where: Filter | None) -> dict[str, object]:
    """Return a filter as JSON; its folder is one of the server."""
    if where is None:
        return {}
    if not isinstance(where, Filter):
        raise UsageError(f"where is {where!r:.100}; expected a Filter, such as Filter(where='price<20')")
    body: dict[str, object] = {
        "folder": None if where.folder is None else os.fspath(where.folder),
        "tag": list(where.tags),
        "without_tag": list(where.without_tags),
        "from": None if where.after is None else where.after.isoformat(),
        "to": None if where.before is None else where.before.isoformat(),
        "where": [_condition(each.key, each.op, each.value) for each in where.where],
        "ids": None if where.ids is None else list(where.ids),
    }
    return {key: value for key, value in body.items() if value not in (None, [])} | (
        {"ids": []} if where.ids == () else {}
    )


def filter_parameters(where: Filter | None) -> dict[str, str | list[str]]:
    """Return a filter as parameters of an address. Raises UsageError for one with ids, which addresses do not have."""
    body = filter_body(where)
    if "ids" in body:
        raise UsageError("images: a filter by ids is for searches; give the ids to `get` instead")
    return cast("dict[str, str | list[str]]", body)


def as_json_value(value: Value) -> str | int | float:
    """Return a value of metadata as JSON: a date as ISO text."""
    return value if isinstance(value, str | int | float) else value.isoformat()


def _condition(key: str, operator: str, value: Value) -> str:
    """Return a condition as the text that `parse_where` reads as the same one."""
    if isinstance(value, str):
        quote = "'" if '"' in value else '"'
        return f"{key}{operator}{quote}{value}{quote}"
    return f"{key}{operator}{as_json_value(value)}"
