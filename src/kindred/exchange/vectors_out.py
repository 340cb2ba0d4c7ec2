"""Export: the vectors of a library are written to a file for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred import __version__
from kindred._support.files import write_whole
from kindred.exchange.formats import format_of
from kindred.exchange.rows import ExchangeRecord, VectorRows
from kindred.hints import check_type
from kindred.library import Library
from kindred.library.paths import located_filter
from kindred.store import Filter, Row, Store

__all__ = ["export_vectors"]


def export_vectors(
    library: Library,
    file: Path | str,
    *,
    where: Filter | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the vectors of the images that match `where` to a file of `FORMATS`; return their number.

    The format is determined by the extension of the file, which appears complete or not at all. `progress` is called
    with the number of rows written so far. Raises UsageError for an unknown extension, if the library has no vectors,
    or if the file cannot be written; MissingExtra if a package for the format is not installed.
    """
    check_type("library", library, Library, "an open Library")
    check_type("file", file, (str, os.PathLike), "the path of a file")
    path, store = Path(file), library.store
    where = None if where is None else located_filter(where)
    written, form = 0, format_of(path)
    meta, dimension = store.meta, store.dimension
    record = ExchangeRecord(
        library.recipe.to_toml(), meta.get("fingerprint", ""), __version__, meta.get("provenance", "")
    )

    def batches() -> Iterator[VectorRows]:
        nonlocal written
        words = library.recipe.multi_vector and library.recipe.embedding
        for rows in _word_rows(store, where) if words else _vector_rows(store, where):
            written += len(rows)
            yield rows
            if progress is not None:
                progress(written)

    write_whole(path, "the file of vectors", lambda part: form.write(part, record, dimension or 1, batches()))
    return written


def _vector_rows(store: Store, where: Filter | None) -> Iterator[VectorRows]:
    chosen = None if where is None else store.select(where)
    for ids, vectors in store.vectors():
        wanted = ids if chosen is None else ids[np.isin(ids, chosen)]
        images = store.rows(wanted.tolist())  # vectors removed in the meantime are left out
        keep = np.isin(ids, list(images))
        rows = [images[number] for number in ids[keep].tolist()]
        if rows:
            yield _as_rows(rows, np.full(len(rows), -1, np.int64), vectors[keep])


def _word_rows(store: Store, where: Filter | None) -> Iterator[VectorRows]:
    chosen = None if where is None else store.select_images(where)
    for batch in store.parts():
        words = np.full(len(batch.owners), -1, np.int64) if batch.words is None else batch.words
        images = store.images(np.unique(batch.owners).tolist())
        keep = np.isin(batch.owners, list(images) if chosen is None else np.intersect1d(chosen, list(images)))
        if keep.any():
            rows = [images[number] for number in batch.owners[keep].tolist()]
            yield _as_rows(rows, words[keep], batch.rows[keep].astype(np.float32))


def _as_rows(images: list[Row], words: NDArray[np.int64], vectors: NDArray[np.float32]) -> VectorRows:
    boxes = [(np.nan,) * 4 if row.box is None else row.box for row in images]
    paths = [os.fspath(row.path) for row in images]
    return VectorRows([row.uid for row in images], paths, np.array(boxes, np.float32).reshape(-1, 4), words, vectors)
