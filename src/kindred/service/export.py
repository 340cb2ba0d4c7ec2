"""Exports of images: their facts as CSV or JSON, or their files as a zip, in pieces of bounded size."""

from __future__ import annotations

import csv
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kindred._support.file_names import UniqueNames
from kindred._support.os_errors import explain_os_error
from kindred.service.form import json_text, plain
from kindred.service.library import ImageForm

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["Opener", "as_csv", "as_json", "as_zip"]

BATCH = 500  # images read at a time
CHUNK = 1 << 20  # bytes of a file read at a time
COLUMNS = ("id", "path", "width", "height", "taken", "tags")
LISTING = "images.csv"
_EARLIEST, _LATEST = 315_705_600, (2107, 12, 31, 23, 59, 58)  # the times that an archive can record
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet takes text for a formula

Opener = Callable[[Path], IO[bytes]]
"""Opens the file of an image, or raises OSError."""


def as_csv(library: Library, ids: Sequence[str]) -> Iterator[str]:
    """Yield a table of images: a row each, and a column for each key of their metadata. Unknown ids are left out.

    Text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    keys = _metadata_keys(library, ids)
    yield _csv_row([*COLUMNS, *map(_column, keys)])
    for image in _images(library, ids):
        yield _csv_row(_cells(image, keys))


def as_json(library: Library, ids: Sequence[str]) -> Iterator[str]:
    """Yield a JSON document {"images": [...]} with the form of each image."""
    yield '{"images":['
    for number, image in enumerate(_images(library, ids)):
        yield f"{',' if number else ''}\n{json_text(image.to_json())}"
    yield "\n]}\n"


def as_zip(library: Library, ids: Sequence[str], open_file: Opener) -> Iterator[bytes]:
    """Yield a zip archive of the files of images, and a table of them with the name of each in the archive.

    Nothing is compressed, since images are already. A file that cannot be read is noted in the table.
    """
    keys, names, sink = _metadata_keys(library, ids), UniqueNames(), _Sink()
    names.take(LISTING)
    rows = [_csv_row([*COLUMNS, *map(_column, keys), "file", "note"])]
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for image in _images(library, ids):
            name, note = names.take(image.path.name), ""
            try:
                with open_file(image.path) as stream:
                    yield from _zipped(archive, sink, name, stream)
            except OSError as error:
                note = f"not complete: {explain_os_error(error)}"
            rows.append(_csv_row([*_cells(image, keys), name, note]))
        archive.writestr(LISTING, "".join(rows))
        yield sink.taken()
    yield sink.taken()


class _Sink:
    """A stream that only writes, and whose content is taken piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Hold nothing back."""

    def close(self) -> None:
        """Hold nothing open."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def _zipped(archive: zipfile.ZipFile, sink: _Sink, name: str, stream: IO[bytes]) -> Iterator[bytes]:
    """Copy a file into an archive; yield what the archive has written."""
    first = stream.read(CHUNK)  # before the entry begins, so that an unreadable file has none
    when = time.localtime(max(os.fstat(stream.fileno()).st_mtime, _EARLIEST))[:6]
    entry = zipfile.ZipInfo(name, min(when, _LATEST))
    entry.external_attr = 0o644 << 16
    with archive.open(entry, "w", force_zip64=True) as target:
        chunk = first
        while chunk:
            target.write(chunk)
            yield sink.taken()
            chunk = stream.read(CHUNK)
    yield sink.taken()


def _images(library: Library, ids: Iterable[str]) -> Iterator[ImageForm]:
    """Yield the forms of images in the order of their ids; those of none are left out."""
    from kindred.library.editing import record_of

    remaining = iter(ids)
    while batch := list(islice(remaining, BATCH)):
        rows = library.store.by_uid(batch)
        for row in (rows[each] for each in batch if each in rows):
            yield ImageForm.of(record_of(row))


def _metadata_keys(library: Library, ids: Sequence[str]) -> list[str]:
    """Return the keys of the metadata of images, ordered by name."""
    keys: set[str] = set()
    if library.store.metadata_keys():
        for start in range(0, len(ids), BATCH):
            for row in library.store.by_uid(ids[start : start + BATCH]).values():
                keys.update(row.metadata)
    return sorted(keys)


def _column(key: str) -> str:
    return f"metadata.{key}" if key in (*COLUMNS, "file", "note") else key


def _cells(image: ImageForm, keys: Sequence[str]) -> list[object]:
    facts = [image.id, image.path, image.width, image.height, image.taken, ";".join(image.tags)]
    return [plain(each) for each in (*facts, *(image.metadata.get(key) for key in keys))]


def _csv_row(cells: Sequence[object]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow([_cell(cell) for cell in cells])
    return row.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return f"'{value}" if value.startswith(_FORMULA) else value
        return value.encode("utf-8", "replace").decode()  # a file name that is not text
    return "" if value is None else value
