"""Reading vectors, regions, visual words and local features of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged
from kindred.store.blobs import (
    DESCRIBE_AGAIN,
    FEATURES_BYTES,
    NAMED_BY_VERIFY,
    check_finite,
    decode_visual_words,
    decode_words,
    words_of_images,
)
from kindred.store.keys import chunks
from kindred.store.protocol import VectorBatch
from kindred.store.records import RowBatch, VisualWords, WordBatch
from kindred.store.sqlite.conditions import marks
from kindred.store.sqlite.reading import ImageReader

__all__ = ["VectorReader"]

ReadRows: TypeAlias = Callable[[str, Sequence[int]], RowBatch | None]

# A value of the wrong type or length is not read.
SOUND = "iif(typeof(data) = 'blob' AND length(data) = ?, data, NULL)"
FEATURES = f"iif(typeof(f.data) = 'blob' AND length(f.data) > {FEATURES_BYTES}, NULL, f.data), length(f.data)"


class VectorReader(ImageReader):
    """Queries about vectors, in addition to those about images."""

    def vectors(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[VectorBatch]:
        """Yield all vectors with an id above `after_id`, ordered by id, as (ids (n,), rows (n, D)).

        Each batch is read in a transaction of its own: rows that are added in the meantime come at the end.
        """
        sql = f"SELECT id, {SOUND} FROM vectors WHERE id > ? ORDER BY id LIMIT ?"
        while True:
            dimension = self.dimension or 0
            with self._database.read() as connection:
                found = connection.execute(sql, (4 * dimension, after_id, batch)).fetchall()
            if not found:
                return
            yield self._as_arrays(found, dimension)
            after_id = found[-1][0]

    def fetch(self, vector_ids: Iterable[int]) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; removed ids are left out."""
        data: dict[int, bytes | None] = {}
        wanted, dimension = [int(number) for number in vector_ids], self.dimension or 0
        for chunk in chunks(wanted):
            with self._database.read() as connection:
                sql = f"SELECT id, {SOUND} FROM vectors WHERE id IN ({marks(chunk)})"
                data.update(connection.execute(sql, (4 * dimension, *chunk)))
        return self._as_arrays([(number, data[number]) for number in wanted if number in data], dimension)

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, ordered by image: regions with their boxes, or visual words.

        Each batch, of whole images, is read in a transaction of its own; images that are added in the meantime may be
        missing.
        """
        for table, read in (("vectors", self._regions), ("words", self._words)):
            if images is None:
                yield from _in_pages(table, read, batch)
                continue
            for chunk in chunks(np.unique(images).tolist()):
                if (found := read(marks(chunk), chunk)) is not None:
                    yield found

    def _regions(self, chosen: str, values: Sequence[int]) -> RowBatch | None:
        """Return the regions of the images whose numbers `chosen` gives, an SQL expression with `values` to bind."""
        sql = f"""
            SELECT id, {SOUND}, image_id, x0, y0, x1, y1 FROM vectors
            WHERE image_id IN ({chosen}) ORDER BY image_id, region
        """
        dimension = self.dimension or 0
        with self._database.read() as connection:
            found = connection.execute(sql, (4 * dimension, *values)).fetchall()
        if not found:
            return None
        _, rows = self._as_arrays([row[:2] for row in found], dimension)
        boxes = [self._cells.box(row[3:], f"vector {row[0]}") or (np.nan,) * 4 for row in found]
        owners = [self._cells.natural(row[2], f"vector {row[0]}", "image_id") for row in found]
        return RowBatch(np.array(owners, np.int64), rows, np.array(boxes, np.float32), None)

    def _words(self, chosen: str, values: Sequence[int]) -> RowBatch | None:
        """Return the visual words of images, likewise."""
        sql = f"SELECT image_id, words, data FROM words WHERE image_id IN ({chosen}) ORDER BY image_id"
        with self._database.read() as connection:
            found = connection.execute(sql, values).fetchall()
        dimension = self.dimension
        if not found or dimension is None:
            return None
        return decode_words(self._cells, found, dimension)

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words).

        Each batch is a view of its own: rows that are put meanwhile are still met, at the end.
        """
        sql = "SELECT vector_id, words, signatures FROM visual_words WHERE vector_id > ? ORDER BY vector_id LIMIT ?"
        while True:
            with self._database.read() as connection:
                found = connection.execute(sql, (after_id, batch)).fetchall()
            if not found:
                return
            after_id = found[-1][0]
            yield decode_visual_words(self._cells, found)

    def visual_words_of_images(self, image_ids: Iterable[int]) -> dict[int, VisualWords]:
        """Return the visual words of the local features of images, by number; those without any are left out."""
        found: dict[int, VisualWords] = {}
        source = "visual_words w JOIN vectors v ON v.id = w.vector_id"
        for chunk in chunks([int(number) for number in image_ids]):
            sql = f"SELECT v.image_id, w.words, w.signatures FROM {source} WHERE v.image_id IN ({marks(chunk)})"
            with self._database.read() as connection:
                rows = connection.execute(sql, chunk).fetchall()
            found |= words_of_images(self._cells, rows)
        return found

    def features(self, image_id: int) -> bytes | None:
        """Return the local features of an image; None if none are stored."""
        return self.features_of_images([image_id]).get(int(image_id))

    def features_of(self, vector_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of the images of vectors, by vector id; ids without any are left out."""
        return self._features("v.id", "vectors v JOIN features f USING (image_id)", vector_ids)

    def features_of_images(self, image_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of images, by number; those without any are left out."""
        return self._features("f.image_id", "features f", image_ids)

    def _features(self, key: str, source: str, ids: Iterable[int]) -> dict[int, bytes]:
        """Return local features by the column `key` of the tables `source`."""
        found: dict[int, bytes] = {}
        for chunk in chunks([int(number) for number in ids]):
            sql = f"SELECT {key}, f.image_id, {FEATURES} FROM {source} WHERE {key} IN ({marks(chunk)})"
            with self._database.read() as connection:
                rows = connection.execute(sql, chunk).fetchall()
            for number, image, data, size in rows:
                row = f"image {image}"
                found[number] = self._cells.bounded_bytes(
                    data, size, row, "features", most=FEATURES_BYTES, remedy=DESCRIBE_AGAIN
                )
        return found

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the ids of the vectors that were removed after `revision`, (n,) ascending."""
        sql = "SELECT id FROM removed_vectors WHERE revision > ? ORDER BY id"
        with self._database.read() as connection:
            return np.fromiter((row[0] for row in connection.execute(sql, (revision,))), dtype=np.int64)

    def changed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the numbers of the images whose vectors, words or features changed after `revision`, (n,) ascending.

        Those that were added, described again, skipped or removed since then.
        """
        sql = "SELECT id FROM changed_images WHERE revision > ? ORDER BY id"
        with self._database.read() as connection:
            return np.fromiter((row[0] for row in connection.execute(sql, (revision,))), dtype=np.int64)

    def _as_arrays(self, found: Sequence[tuple[int, bytes | None]], dimension: int) -> VectorBatch:
        for number, data in found:
            if data is None:
                raise self._wrong_vector(number, dimension)
        ids = np.array([number for number, _ in found], dtype=np.int64)
        rows = np.frombuffer(b"".join(data for _, data in found if data is not None), dtype="<f4")
        rows = rows.reshape(len(found), dimension)
        check_finite(self._cells, rows, ids, "vector")
        return ids, rows.astype(np.float32, copy=False)

    def _wrong_vector(self, number: int, dimension: int) -> LibraryDamaged:
        """Return the error for a vector that is not D numbers."""
        with self._database.read() as connection:
            sql = "SELECT typeof(data), length(data) FROM vectors WHERE id = ?"
            kind, length = connection.execute(sql, (number,)).fetchone() or ("null", 0)
        held = f"{length:,} bytes" if kind == "blob" else f"a value of type {kind}"
        expected = f"{4 * dimension} bytes ({dimension} float32)"
        return self._cells.error(f"vector {number} has {held}, expected {expected}", NAMED_BY_VERIFY)


def _in_pages(table: str, read: ReadRows, batch: int) -> Iterator[RowBatch]:
    """Yield the rows of all images of a table, those of `batch` images at a time."""
    after, chosen = 0, f"SELECT DISTINCT image_id FROM {table} WHERE image_id > ? ORDER BY image_id LIMIT ?"
    while (found := read(chosen, (after, batch))) is not None:
        yield found
        after = int(found.owners[-1])
