"""Metadata from files: CSV or JSON with values for images, which are named by path or id."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from kindred._support.csv_files import delimiter_of
from kindred._support.files import read_bounded
from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import remote_path
from kindred.errors import UsageError
from kindred.library.paths import located
from kindred.store import Key, Value, is_uid, parse_value

__all__ = ["read_metadata", "value_of"]

NAMES = ("id", "path", "image", "file", "filename")
"""Columns of a table, or keys of an entry, that name the image; the first one present is used."""
LARGEST = 1 << 28
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")


def read_metadata(file: Path) -> list[tuple[Key, dict[str, Value]]]:
    """Return the entries of a file, (path or id, metadata), in order.

    CSV: separated by commas, semicolons or tabs, one row per image; the first row has the column names, one of `NAMES`
    and the keys. Empty cells are ignored. Values that look like numbers or dates are converted
    (`kindred.store.parse_value`), also those with a decimal comma if semicolons separate the cells. JSON: {"path or
    id": {key: value}}, or a list of entries with one of `NAMES`; text remains text unless it is an ISO date. Relative
    paths are relative to the folder of the file. Raises UsageError with the position in the file.
    """
    try:
        text = read_bounded(file, LARGEST).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({explain_os_error(error)})") from error
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is not UTF-8 text; save it as UTF-8 and try again") from None
    entries = _from_json(text, file) if file.suffix.lower() == ".json" else _from_csv(text, file)
    return [(_key(name, file), values) for name, values in entries]


def _from_csv(text: str, file: Path) -> Iterator[tuple[str, dict[str, Value]]]:
    head = text.partition("\n")[0]
    delimiter = delimiter_of(head)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    parse = _parse_with_comma if delimiter == ";" else parse_value
    try:
        names = [name.strip() for name in next(rows, [])]
        at = next((names.index(name) for name in NAMES if name in names), None)
        if at is None:
            raise UsageError(
                f"{file}: expected one of the columns {', '.join(NAMES)} in the first row, got {head[:80]!r}"
            )
        if len(set(names)) != len(names):
            raise UsageError(f"{file}: a column name occurs twice in the first row; rename one of them")
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise UsageError(f"{file}: line {rows.line_num} has {len(row)} cells, expected {len(names)}")
            cells = dict(zip(names, row, strict=True))
            name = cells.pop(names[at])
            yield name, {key: parse(cell) for key, cell in cells.items() if cell.strip() and key not in NAMES}
    except csv.Error as error:
        raise UsageError(f"{file}: line {rows.line_num} is not valid CSV ({error})") from error


def _parse_with_comma(cell: str) -> Value:
    """Return the value of a cell, also of a number with a decimal comma: programs write both that and semicolons."""
    return parse_value(cell.replace(",", ".") if _COMMA.fullmatch(cell.strip()) else cell)


def _from_json(text: str, file: Path) -> Iterator[tuple[str, dict[str, Value]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: is not valid JSON ({error})") from error
    if isinstance(found, dict):
        entries = list(found.items())
    elif isinstance(found, list):
        entries = [_named(entry, number, file) for number, entry in enumerate(found)]
    else:
        raise UsageError(f"{file}: expected an object or a list, got {type(found).__name__}")
    for name, values in entries:
        if not isinstance(values, dict):
            raise UsageError(f"{file}: {name!r}: expected an object of keys and values, got {type(values).__name__}")
        yield (
            name,
            {key: value_of(value, f"{file}: {name!r}: {key!r}") for key, value in values.items() if value is not None},
        )


def _named(entry: object, number: int, file: Path) -> tuple[str, Mapping[str, object]]:
    if isinstance(entry, dict):
        at = next((name for name in NAMES if isinstance(entry.get(name), str)), None)
        if at is not None:
            return entry[at], {key: value for key, value in entry.items() if key not in NAMES}
    raise UsageError(f"{file}: entry {number}: expected an object with one of {', '.join(NAMES)}")


def value_of(value: object, where: str) -> Value:
    """Return a value of JSON as one of metadata: text that is an ISO date is a date. Raises UsageError for others."""
    if isinstance(value, str):
        dated = parse_value(value)
        return value if isinstance(dated, str | int | float) else dated
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise UsageError(f"{where} is {str(value)[:40]!r}; expected text or a number")


def _key(name: str, file: Path) -> Key:
    name = name.strip()
    if is_uid(name):
        return name
    if not name or "\0" in name:
        raise UsageError(f"{file}: got {name!r} as an image; expected a path or an id")
    return remote_path(name) or located(file.absolute().parent / Path(name).expanduser())
