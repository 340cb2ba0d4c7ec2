"""Vectors as `.csv`: a header row, then one row per vector."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from kindred._support.csv_files import delimiter_of
from kindred._support.files import open_bounded
from kindred.errors import UsageError
from kindred.exchange.rows import MOST_COMPONENTS, ExchangeRecord, VectorRows

__all__ = ["read_csv", "write_csv"]

COLUMNS = ("id", "path", "x0", "y0", "x1", "y1", "word")
MOST_BYTES = 256 * 1024**3
LONGEST_FIELD = 1 << 16
BATCH = 1024


def write_csv(file: Path, _: ExchangeRecord, dimension: int, batches: Iterable[VectorRows]) -> None:
    """Write a header and one row per vector; nine digits are exact for float32. CSV cannot store the record."""
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *(f"v{number}" for number in range(dimension))])
        for rows in batches:
            for row in range(len(rows)):
                box = ["" if math.isnan(edge) else f"{edge:g}" for edge in rows.boxes[row].tolist()]
                word = "" if rows.words[row] < 0 else str(rows.words[row])
                numbers = [f"{number:.9g}" for number in rows.vectors[row].tolist()]
                writer.writerow([rows.ids[row], rows.paths[row], *box, word, *numbers])


def read_csv(file: Path) -> tuple[ExchangeRecord, Iterator[VectorRows]]:
    """Read the columns `path`, `v0`, `v1` and so on, and `id`, a box and `word` if present; separated by `,` or `;`.

    Raises UsageError, with the line number, for anything else.
    """
    stream = _open(file)
    try:
        first = stream.readline(LONGEST_FIELD * 64)
        delimiter = delimiter_of(first)
        head = next(csv.reader([first], delimiter=delimiter), [])
        places = {name.strip(): at for at, name in enumerate(head)}
        numbers = [places[f"v{number}"] for number in range(len(places)) if f"v{number}" in places]
        if "path" not in places or not 0 < len(numbers) <= MOST_COMPONENTS:
            raise UsageError(f"{file}: its first row has {len(head)} columns; expected path, v0, v1 and so on")
    except BaseException:
        stream.close()
        raise
    return ExchangeRecord(), _batches(file, stream, delimiter, places, numbers)


def _open(file: Path) -> TextIO:
    open_bounded(file, MOST_BYTES).close()  # a FIFO or a device would be read forever
    return file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _batches(
    file: Path, stream: TextIO, delimiter: str, places: dict[str, int], numbers: list[int]
) -> Iterator[VectorRows]:
    csv.field_size_limit(LONGEST_FIELD)
    with stream:
        reader = csv.reader(stream, delimiter=delimiter)
        lines: list[list[str]] = []
        try:
            for line in reader:
                if line:
                    lines.append(line)
                if len(lines) == BATCH:
                    yield _rows(lines, places, numbers)
                    lines = []
            if lines:
                yield _rows(lines, places, numbers)
        except (ValueError, IndexError, csv.Error) as error:
            where = f"{file}: up to line {reader.line_num + 1}"
            raise UsageError(f"{where}: {error}; expected a number in each v column") from None


def _rows(lines: list[list[str]], places: dict[str, int], numbers: list[int]) -> VectorRows:
    def text(name: str) -> list[str]:
        return [line[places[name]] for line in lines] if name in places else [""] * len(lines)

    edges = [[float(edge) if edge else math.nan for edge in text(name)] for name in ("x0", "y0", "x1", "y1")]
    words = [int(word) if word else -1 for word in text("word")]
    vectors = np.array([[float(line[at]) for at in numbers] for line in lines], np.float32)
    return VectorRows(text("id"), text("path"), np.array(edges, np.float32).T, np.array(words, np.int64), vectors)
