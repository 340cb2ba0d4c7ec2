"""Vectors as `.parquet`, by Apache Arrow: one column of vectors of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kindred._support.files import open_bounded
from kindred.errors import MissingExtra, UsageError
from kindred.exchange.rows import MOST_COMPONENTS, ExchangeRecord, VectorRows

__all__ = ["read_parquet", "write_parquet"]

MOST_BYTES = 256 * 1024**3
BATCH = 4096
RECORD = b"kindred"


def write_parquet(file: Path, record: ExchangeRecord, dimension: int, batches: Iterable[VectorRows]) -> None:
    """Write the columns id, path, box (4), word and vector (D); bytes of a path that are not UTF-8 are escaped."""
    arrow, parquet = _arrow()
    schema = arrow.schema(
        [
            ("id", arrow.string()),
            ("path", arrow.string()),
            ("box", arrow.list_(arrow.float32(), 4)),
            ("word", arrow.int64()),
            ("vector", arrow.list_(arrow.float32(), dimension)),
        ],
        metadata={RECORD: record.to_json().encode()},
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in batches:
            paths = [path.encode("utf-8", "backslashreplace").decode() for path in rows.paths]
            edges = [None if np.isnan(box).any() else box.tolist() for box in rows.boxes]
            boxes = arrow.array(edges, schema.field("box").type)
            words = arrow.array([None if word < 0 else word for word in rows.words.tolist()], arrow.int64())
            flat = arrow.array(np.ascontiguousarray(rows.vectors).ravel(), arrow.float32())
            vectors = arrow.FixedSizeListArray.from_arrays(flat, dimension)
            writer.write_batch(arrow.record_batch([rows.ids, paths, boxes, words, vectors], schema=schema))


def read_parquet(file: Path) -> tuple[ExchangeRecord, Iterator[VectorRows]]:
    """Read the columns `path` (text) and `vector` (lists of numbers), and `id`, `box` and `word` if present.

    Raises UsageError for anything else, MissingExtra if pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    open_bounded(file, MOST_BYTES).close()  # a FIFO or a device would be read forever
    try:
        opened = parquet.ParquetFile(file)
        names = set(opened.schema_arrow.names)
        text = (opened.schema_arrow.metadata or {}).get(RECORD, b"").decode("utf-8", "replace")
        record = ExchangeRecord.from_json(text)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{file}: not a readable Parquet file ({' '.join(str(error).split())})") from None
    if not {"path", "vector"} <= names:
        raise UsageError(f"{file}: its columns are {', '.join(sorted(names))}; expected path and vector")

    def batches() -> Iterator[VectorRows]:
        columns = [name for name in ("id", "path", "box", "word", "vector") if name in names]
        try:
            for batch in opened.iter_batches(BATCH, columns=columns):
                if len(batch):
                    yield _rows(batch)
        except (arrow.ArrowException, OSError, ValueError, TypeError) as error:
            raise UsageError(f"{file}: {' '.join(str(error).split())}; expected rows of equal length") from None
        finally:
            opened.close()

    return record, batches()


def _rows(batch: Any) -> VectorRows:
    count, names = len(batch), batch.schema.names
    vectors = np.array(batch.column("vector").to_pylist(), np.float32)
    if vectors.ndim != 2 or not 0 < vectors.shape[1] <= MOST_COMPONENTS:
        raise ValueError(f"vectors have shape {vectors.shape}")
    nothing = [None] * count
    ids = batch.column("id").to_pylist() if "id" in names else nothing
    boxes = batch.column("box").to_pylist() if "box" in names else nothing
    words = batch.column("word").to_pylist() if "word" in names else nothing
    edges = np.array([[np.nan] * 4 if box is None else box for box in boxes], np.float32).reshape(count, 4)
    return VectorRows(
        ["" if each is None else str(each) for each in ids],
        [str(each) for each in batch.column("path").to_pylist()],
        edges,
        np.array([-1 if word is None else int(word) for word in words], np.int64),
        vectors,
    )


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("reading and writing .parquet", "parquet") from None
    return pyarrow, parquet
