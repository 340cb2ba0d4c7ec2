"""The file formats of vectors: `.npz` for NumPy, `.csv` for everything, `.parquet` for data frames and databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kindred.errors import UsageError
from kindred.exchange.csv_file import read_csv, write_csv
from kindred.exchange.npz_file import read_npz_rows, write_npz
from kindred.exchange.parquet_file import read_parquet, write_parquet
from kindred.exchange.rows import ExchangeRecord, VectorRows

__all__ = ["FORMATS", "Format", "format_of"]


@dataclass(frozen=True)
class Format:
    """One entry of FORMATS.

    write: writes a file, given its path, the record, D and batches of rows. read: returns the record of a file and its
    rows in batches. summary: for the documentation.
    """

    write: Callable[[Path, ExchangeRecord, int, Iterable[VectorRows]], None]
    read: Callable[[Path], tuple[ExchangeRecord, Iterator[VectorRows]]]
    summary: str


FORMATS: dict[str, Format] = {
    ".npz": Format(
        write_npz, read_npz_rows, "arrays `ids`, `paths`, `boxes`, `words`, `vectors`, and `record`, for `numpy.load`"
    ),
    ".csv": Format(
        write_csv, read_csv, "one row per vector: `id`, `path`, `x0`, `y0`, `x1`, `y1`, `word`, `v0`, `v1`, …"
    ),
    ".parquet": Format(write_parquet, read_parquet, "columns `id`, `path`, `box`, `word`, `vector`; needs pyarrow"),
}


def format_of(file: Path) -> Format:
    """Return the format of a file by its extension; raises UsageError for an unknown one."""
    found = FORMATS.get(file.suffix.lower())
    if found is None:
        raise UsageError(f"{file}: expected a file name that ends in {', '.join(FORMATS)}")
    return found
