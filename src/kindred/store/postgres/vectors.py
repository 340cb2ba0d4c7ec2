"""Reading vectors, regions, visual words and local features of a store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.store.blobs import (
    DESCRIBE_AGAIN,
    FEATURES_BYTES,
    NAMED_BY_VERIFY,
    VISUAL_WORDS_BYTES,
    WORDS_BYTES,
    Blobs,
    check_finite,
    decode_visual_words,
    decode_words,
    words_of_images,
)
from kindred.store.cells import Cells
from kindred.store.keys import chunks
from kindred.store.postgres.bounds import bounded, cut
from kindred.store.postgres.reading import ImageReader
from kindred.store.protocol import VectorBatch
from kindred.store.reading import LARGEST_DIMENSION
from kindred.store.records import RowBatch, VisualWords, WordBatch

__all__ = ["DATA", "VISUAL_WORDS", "WORDS", "VectorReader", "vector_batch"]

ReadRows: TypeAlias = Callable[[str, Sequence[Any]], RowBatch | None]

WIDE = f"octet_length(wide) = least(4::int8 * (SELECT max(dimension) FROM state), {4 * LARGEST_DIMENSION})"
DATA = (
    f"coalesce(vector_send(data), CASE WHEN {WIDE} THEN wide END), CASE WHEN data IS NULL THEN octet_length(wide) END"
)
"""The bytes of a vector, as the type sends them, at most 64 kB, or as they are stored; and of the latter how many.

Those that are stored are NULL if they are not as many as the dimension of the library demands.
"""
WORDS = f"{bounded('words', WORDS_BYTES)}, {bounded('data', WORDS_BYTES)}"
VISUAL_WORDS = f"{bounded('words', VISUAL_WORDS_BYTES)}, {bounded('signatures', VISUAL_WORDS_BYTES)}"
FEATURES = bounded("f.data", FEATURES_BYTES)
HEADER = 4
"""Bytes before the components: their number, and two that are not used."""
AT_ONCE = 500
"""Images whose rows are read by one statement."""
FEATURES_AT_ONCE = 64
"""Images whose local features are read by one statement."""


def vector_batch(check: Cells, found: Sequence[tuple[Any, ...]], dimension: int) -> VectorBatch:
    """Return the ids (n,) and rows (n, D) of vectors, from their ids and the columns `DATA`.

    Raises LibraryDamaged, with the vector, for those that are not `dimension` finite numbers.
    """
    for number, data, size, *_ in found:
        length = size if size is not None else 0 if data is None else len(data) - HEADER
        if data is None or length != 4 * dimension:
            expected = f"{4 * dimension} bytes ({dimension} float32)"
            raise check.error(f"vector {number} has {length:,} bytes, expected {expected}", NAMED_BY_VERIFY)
    rows = np.empty((len(found), dimension), np.float32)
    is_wide = np.array([row[2] is not None for row in found], bool)
    for chosen, kind, start in ((is_wide, "<f4", 0), (~is_wide, ">f4", HEADER)):
        cells = [found[at][1] for at in np.flatnonzero(chosen).tolist()]
        sent = np.frombuffer(b"".join(cells), np.uint8).reshape(len(cells), start + 4 * dimension)
        rows[chosen] = np.ascontiguousarray(sent[:, start:]).view(kind)
    ids = np.array([row[0] for row in found], np.int64)
    check_finite(check, rows, ids, "vector")  # only possible for wide ones
    return ids, rows


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
        sql = f"SELECT id, {DATA}, {cut('uuid')}, dimension FROM vectors, state WHERE id = ANY(%s)"
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
        sql = f"SELECT image_id, {WORDS} FROM words WHERE image_id {chosen} ORDER BY image_id"
        found = self._pairs(sql, values, ("image", "words", "rows of words"), WORDS_BYTES)
        dimension = self.dimension
        if not found or dimension is None:
            return None
        return decode_words(self._cells, found, dimension)

    def _pairs(
        self, sql: str, values: Sequence[Any], names: tuple[str, str, str], most: int, *, remedy: str | None = None
    ) -> Blobs:
        """Return a number and two cells of each row, which are read with their sizes; `names`: of the three."""
        owner, first, second = names
        check = partial(self._cells.bounded_bytes, most=most, remedy=remedy)
        return [
            (number, check(one, size, f"{owner} {number}", first), check(other, length, f"{owner} {number}", second))
            for number, one, size, other, length in self._database.rows(sql, values)
        ]

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words)."""
        sql = f"SELECT vector_id, {VISUAL_WORDS} FROM visual_words WHERE vector_id > %s ORDER BY vector_id LIMIT %s"
        while found := self._visual_words(sql, (after_id, batch), "vector", NAMED_BY_VERIFY):
            after_id = found[-1][0]
            yield decode_visual_words(self._cells, found)

    def visual_words_of_images(self, image_ids: Iterable[int]) -> dict[int, VisualWords]:
        """Return the visual words of the local features of images, by number; those without any are left out."""
        source = "visual_words JOIN vectors ON id = vector_id"
        sql = f"SELECT image_id, {VISUAL_WORDS} FROM {source} WHERE image_id = ANY(%s)"
        found: dict[int, VisualWords] = {}
        for chunk in chunks([int(number) for number in image_ids], FEATURES_AT_ONCE):
            rows = self._visual_words(sql, (list(chunk),), "image", DESCRIBE_AGAIN)
            found |= words_of_images(self._cells, rows)
        return found

    def _visual_words(self, sql: str, values: Sequence[Any], owner: str, remedy: str) -> Blobs:
        names = owner, "visual words", "signatures"
        return self._pairs(sql, values, names, VISUAL_WORDS_BYTES, remedy=remedy)

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
        sql = f"SELECT {key}, f.image_id, {FEATURES} FROM {source} WHERE {key} = ANY(%s)"
        found: dict[int, bytes] = {}
        for chunk in chunks([int(number) for number in ids], FEATURES_AT_ONCE):
            for number, image, data, size in self._database.rows(sql, (list(chunk),)):
                row = f"image {image}"
                found[number] = self._cells.bounded_bytes(
                    data, size, row, "features", most=FEATURES_BYTES, remedy=DESCRIBE_AGAIN
                )
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
        return vector_batch(self._cells, found, dimension)


def _in_pages(table: str, read: ReadRows, batch: int) -> Iterator[RowBatch]:
    """Yield the rows of all images of a table, those of `batch` images at a time."""
    after = 0
    chosen = f"IN (SELECT DISTINCT image_id FROM {table} WHERE image_id > %s ORDER BY image_id LIMIT %s)"
    while (found := read(chosen, (after, batch))) is not None:
        yield found
        after = int(found.owners[-1])
