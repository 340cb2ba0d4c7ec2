"""Vectors as `.npz`: one array per column."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kindred._support.files import open_bounded, read_bounded
from kindred._support.npz import read_npz
from kindred.errors import UsageError
from kindred.exchange.rows import MOST_COMPONENTS, ExchangeRecord, VectorRows

__all__ = ["read_npz_rows", "write_npz"]

MOST_BYTES = 64 * 1024**3
BATCH = 4096


def write_npz(file: Path, record: ExchangeRecord, dimension: int, batches: Iterable[VectorRows]) -> None:
    """Write rows as the arrays listed in `FORMATS`; the vectors are never all in memory at once."""
    ids: list[str] = []
    paths: list[str] = []
    boxes, words = [np.empty((0, 4), np.float32)], [np.empty(0, np.int64)]
    with tempfile.TemporaryFile(dir=file.parent) as spool:
        for rows in batches:
            ids += rows.ids
            paths += rows.paths
            boxes.append(rows.boxes)
            words.append(rows.words)
            spool.write(np.ascontiguousarray(rows.vectors, "<f4").tobytes())
        spool.seek(0)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            columns = {
                "ids": np.array(ids, np.str_),
                "paths": np.array(paths, np.str_),
                "boxes": np.concatenate(boxes),
                "words": np.concatenate(words),
                "record": np.array(record.to_json()),
            }
            for name, array in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, array, allow_pickle=False)
            with archive.open("vectors.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), dimension)}
                npy.write_array_header_2_0(member, header)
                shutil.copyfileobj(spool, member, 1 << 20)


def read_npz_rows(file: Path) -> tuple[ExchangeRecord, Iterator[VectorRows]]:
    """Read `vectors` (N, D) and `paths` (N,), and `ids`, `boxes`, `words` and `record` if present.

    Raises UsageError for anything else.
    """
    with open_bounded(file, MOST_BYTES):  # a FIFO or a device would be read forever
        size = file.stat().st_size
    try:
        # Decompression to ten times the size is allowed, which is enough for vectors; a zip bomb needs far more.
        arrays = read_npz(read_bounded(file, MOST_BYTES), 10 * size + (1 << 20))
        vectors = _floats(arrays["vectors"])
        paths = _texts(arrays["paths"], len(vectors))
        ids = _texts(arrays["ids"], len(vectors)) if "ids" in arrays else [""] * len(vectors)
        boxes = np.full((len(vectors), 4), np.nan, np.float32)
        if "boxes" in arrays:
            boxes = arrays["boxes"].astype(np.float32).reshape(len(vectors), 4)
        words = np.full(len(vectors), -1, np.int64)
        if "words" in arrays:
            words = arrays["words"].astype(np.int64).reshape(len(vectors))
        record = ExchangeRecord.from_json(str(arrays["record"])) if "record" in arrays else ExchangeRecord()
    except KeyError as error:
        raise UsageError(f"{file}: array {error} is missing; expected vectors (N, D) and paths (N,)") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: {error}; expected vectors (N, D) of numbers and paths (N,) of text") from None

    def batches() -> Iterator[VectorRows]:
        for start in range(0, len(vectors), BATCH):
            part = slice(start, start + BATCH)
            yield VectorRows(ids[part], paths[part], boxes[part], words[part], vectors[part])

    return record, batches()


def _floats(array: NDArray[np.generic]) -> NDArray[np.float32]:
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not 0 < array.shape[1] <= MOST_COMPONENTS:
        raise ValueError(f"vectors have shape {array.shape} and type {array.dtype}")
    return array.astype(np.float32)


def _texts(array: NDArray[np.generic], count: int) -> list[str]:
    if array.shape != (count,) or array.dtype.kind not in "US":
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype} beside {count} vectors")
    texts = array.tolist()
    return [each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else str(each) for each in texts]
