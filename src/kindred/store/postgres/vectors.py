"""Reading vectors, regions, visual words and local features of a store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.store.blobs import check_finite, decode_visual_words, decode_words
from kindred.store.keys import chunks
from kindred.store.postgres.reading import ImageReader
from kindred.store.protocol import VectorBatch
from kindred.store.records import RowBatch, WordBatch

__all__ = ["DATA", "VectorReader", "components"]

ReadRows: TypeAlias = Callable[[str, Sequence[Any]], RowBatch | None]

DATA = "coalesce(vector_send(data), wide), data IS NULL"
"""The bytes of a vector, as the type sends them or as they are stored, and which of both."""
HEADER = 4
"""Bytes before the components: their number, and two that are not used."""
AT_ONCE = 500
"""Images whose rows are read by one statement."""


def components(cells: Sequence[tuple[bytes, bool]]) -> NDArray[np.float32]:
    """Return the components of vectors (n, D), all of one length, from the columns `DATA`."""
    if not cells:
        return np.empty((0, 0), np.float32)
    if cells[0][1]:
        return np.frombuffer(b"".join(data for data, _ in cells), "<f4").reshape(len(cells), -1).astype(np.float32)
    sent = np.frombuffer(b"".join(data for data, _ in cells), np.uint8).reshape(len(cells), -1)[:, HEADER:]
    return np.ascontiguousarray(sent).view(">f4").astype(np.float32)


class VectorReader(ImageReader):
    """Queries about vectors, in addition to those about images."""

    def vectors(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[VectorBatch]:
        """Yield all vectors with an id above `after_id`, ordered by id, as (ids (n,), rows (n, D)).

        Each batch is read by a statement of its own: rows that are added in the meantime come at the end.
        """
        sql = f"SELECT id, {DATA} FROM vectors WHERE id > %s ORDER BY id LIMIT %s"
        dimension = 0
        while found := self._database.rows(sql, (after_id, batch)):
            dimension = dimension or self.dimension or 0
            yield self._as_arrays(found, dimension)
            after_id = found[-1][0]

    def fetch(self, vector_ids: Iterable[int]) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; removed ids are left out."""
        wanted = [int(number) for number in vector_ids]
        # With the state in the same statement, a search waits for the server once, not twice.
        sql = f"SELECT id, {DATA}, uuid, dimension FROM vectors, state WHERE id = ANY(%s)"
        data: dict[int, tuple[Any, ...]] = {}
        dimension = 0
        for chunk in chunks(wanted, 4096):
            for row in self._database.rows(sql, (list(chunk),)):
                data[row[0]] = row
            if data and not dimension:
                *_, uuid, dimension = next(iter(data.values()))
                self._database.check_same(uuid)
        return self._as_arrays([data[number] for number in wanted if number in data], dimension or self.dimension or 0)

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, ordered by image: regions with their boxes, or visual words.

        Each batch, of whole images, is read by a statement of its own; images that are added in the meantime may be
        missing.
        """
        for table, read in (("vectors", self._regions), ("words", self._words)):
            if images is None:
                yield from _in_pages(table, read, batch)
                continue
            for chunk in chunks(np.unique(images).tolist(), AT_ONCE):
                if (found := read("= ANY(%s)", (list(chunk),))) is not None:
                    yield found

    def _regions(self, chosen: str, values: Sequence[Any]) -> RowBatch | None:
        """Return the regions of the images whose numbers `chosen` gives, an SQL condition with `values` to bind."""
        columns = f"id, {DATA}, image_id, x0, y0, x1, y1"
        sql = f"SELECT {columns} FROM vectors WHERE image_id {chosen} ORDER BY image_id, region"
        found = self._database.rows(sql, values)
        if not found:
            return None
        _, rows = self._as_arrays(found, self.dimension or 0)
        boxes = [self._cells.box(row[4:], f"vector {row[0]}") or (np.nan,) * 4 for row in found]
        return RowBatch(np.array([row[3] for row in found], np.int64), rows, np.array(boxes, np.float32), None)

    def _words(self, chosen: str, values: Sequence[Any]) -> RowBatch | None:
        """Return the visual words of images, likewise."""
        found = self._database.rows(
            f"SELECT image_id, words, data FROM words WHERE image_id {chosen} ORDER BY image_id", values
        )
        dimension = self.dimension
        if not found or dimension is None:
            return None
        return decode_words(self._cells, found, dimension)

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words)."""
        sql = "SELECT vector_id, words, signatures FROM visual_words WHERE vector_id > %s ORDER BY vector_id LIMIT %s"
        while found := self._database.rows(sql, (after_id, batch)):
            after_id = found[-1][0]
            yield decode_visual_words(self._cells, found)

    def features(self, image_id: int) -> bytes | None:
        """Return the local features of an image; None if none are stored."""
        found = self._database.rows("SELECT data FROM features WHERE image_id = %s", (int(image_id),))
        return found[0][0] if found else None

    def features_of(self, vector_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of the images of vectors, by vector id; ids without any are left out."""
        sql = "SELECT v.id, f.data FROM vectors v JOIN features f USING (image_id) WHERE v.id = ANY(%s)"
        found: dict[int, bytes] = {}
        for chunk in chunks([int(number) for number in vector_ids], AT_ONCE):
            found.update(self._database.rows(sql, (list(chunk),)))
        return found

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the ids of the vectors that were removed after `revision`, (n,) ascending."""
        return self._ids("SELECT id FROM removed_vectors WHERE revision > %s", (revision,))

    def changed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the numbers of the images whose vectors, words or features changed after `revision`, (n,) ascending.

        Those that were added, described again, skipped or removed since then.
        """
        return self._ids("SELECT id FROM changed_images WHERE revision > %s", (revision,))

    def _as_arrays(self, found: Sequence[tuple[Any, ...]], dimension: int) -> VectorBatch:
        for number, data, wide, *_ in found:
            length = len(data) if wide else len(data) - HEADER
            if length != 4 * dimension:
                raise self._cells.error(
                    f"vector {number} has {length:,} bytes, expected {4 * dimension} ({dimension} float32)"
                )
        rows = components([row[1:3] for row in found])
        ids = np.array([row[0] for row in found], np.int64)
        check_finite(self._cells, rows, ids, "vector")  # only possible for wide ones
        return ids, rows.reshape(len(found), dimension)


def _in_pages(table: str, read: ReadRows, batch: int) -> Iterator[RowBatch]:
    """Yield the rows of all images of a table, those of `batch` images at a time."""
    after = 0
    chosen = f"IN (SELECT DISTINCT image_id FROM {table} WHERE image_id > %s ORDER BY image_id LIMIT %s)"
    while (found := read(chosen, (after, batch))) is not None:
        yield found
        after = int(found.owners[-1])
