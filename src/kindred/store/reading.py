"""What can be asked of a store; every answer is one consistent view."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged, UsageError
from kindred.store.database import REMEDY, Database
from kindred.store.records import Box, Counts, Filter, Known, Row, Run

__all__ = ["RowBatch", "SqliteReader"]

Item = TypeVar("Item")
Batch = tuple[NDArray[np.int64], NDArray[np.float32]]


class RowBatch(NamedTuple):
    """The rows of images that are kept as several: owners (n,) image ids, rows (n, D), boxes (n, 4), words (n,).

    Boxes are NaN where a row stands for the whole image, None where rows are those of words; words the other way
    round.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.float32] | NDArray[np.float16]
    boxes: NDArray[np.float32] | None
    words: NDArray[np.int64] | None


CHUNK = 500
"""Values bound in one statement: SQLite allows 999 in its most cautious builds."""
PAGE = 1000
"""Rows that a listing reads at a time, so that it never holds a transaction open while its caller works."""


class SqliteReader:
    """The questions; `SqliteStore` adds the changes. Any thread may ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return self._database.file

    @property
    def writable(self) -> bool:
        """Whether this store was opened for writing."""
        return self._database.mode == "write"

    @property
    def meta(self) -> dict[str, str]:
        """All facts about the library as a whole, by name."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT key, value FROM meta"))

    @property
    def revision(self) -> int:
        """A number that grows with every committed change of vectors, tags or meta."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])

    @property
    def dimension(self) -> int | None:
        """D of every vector; None until the first is put."""
        found = self.meta.get("dimension")
        return None if found is None else int(found)

    def counts(self) -> Counts:
        """Count images and vectors."""
        with self._database.read() as connection:
            states = dict(connection.execute("SELECT state, count(*) FROM images GROUP BY state"))
            vectors = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        indexed, skipped = states.get("indexed", 0), states.get("skipped", 0)
        return Counts(images=indexed + skipped, indexed=indexed, skipped=skipped, vectors=vectors)

    def lookup(self, paths: Iterable[Path]) -> dict[Path, Known]:
        """Return what is known of each of `paths`; those that are not in the store are left out."""
        known: dict[Path, Known] = {}
        for chunk in _chunks(list(paths), CHUNK):
            sql = f"SELECT path, id, size, mtime_ns, state FROM images WHERE path IN ({_marks(chunk)})"
            with self._database.read() as connection:
                for path, *facts in connection.execute(sql, [path_key(path) for path in chunk]):
                    known[_path(path)] = Known(*facts)
        return known

    def paths_under(self, folder: Path) -> Iterator[Path]:
        """Yield the path of every image in `folder`, at any depth, in order; changes meanwhile do no harm."""
        last, end = _folder_range(folder)
        sql = "SELECT path FROM images WHERE path > ? AND path < ? ORDER BY path LIMIT ?"
        while True:
            with self._database.read() as connection:
                page = connection.execute(sql, (last, end, PAGE)).fetchall()
            if not page:
                return
            yield from (_path(row[0]) for row in page)
            last = page[-1][0]

    def skipped(self) -> list[tuple[Path, str]]:
        """Return the path of every image that could not be used, with the reason, in order of path."""
        sql = "SELECT path, reason FROM images WHERE state = 'skipped' ORDER BY path"
        with self._database.read() as connection:
            return [(_path(path), reason) for path, reason in connection.execute(sql)]

    def tags(self) -> dict[str, int]:
        """Return every tag with the number of its images, in order of name."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag"))

    def runs(self, limit: int = 10) -> list[Run]:
        """Return the newest `limit` indexing runs, newest first."""
        columns = "id, started, finished, found, indexed, unchanged, skipped, removed"
        sql = f"SELECT {columns} FROM runs ORDER BY id DESC LIMIT ?"
        with self._database.read() as connection:
            return [Run(*row) for row in connection.execute(sql, (limit,))]

    def select(self, wanted: Filter) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that `wanted` lets through, (n,) ascending."""
        conditions, values = _conditions(wanted)
        sql = "SELECT id FROM vectors"
        if conditions:
            sql = (
                "SELECT vectors.id FROM images JOIN vectors ON vectors.image_id = images.id "
                f"WHERE {' AND '.join(conditions)}"
            )
        with self._database.read() as connection:
            found = np.fromiter((row[0] for row in connection.execute(sql, values)), dtype=np.int64)
        return np.sort(found)

    def select_images(self, wanted: Filter) -> NDArray[np.int64]:
        """Return the ids of all images that `wanted` lets through, (n,) ascending."""
        conditions, values = _conditions(wanted)
        sql = "SELECT id FROM images"
        if conditions:
            sql += f" WHERE {' AND '.join(conditions)}"
        with self._database.read() as connection:
            found = np.fromiter((row[0] for row in connection.execute(sql, values)), dtype=np.int64)
        return np.sort(found)

    def rows(self, vector_ids: Iterable[int]) -> dict[int, Row]:
        """Return the image and region of each vector by vector id; ids that are gone are left out."""
        columns = "v.id, i.id, i.path, i.width, i.height, i.taken, v.region, v.x0, v.y0, v.x1, v.y1"
        found: dict[int, Row] = {}
        for chunk in _chunks([int(number) for number in vector_ids], CHUNK):
            these = f"WHERE v.id IN ({_marks(chunk)})"
            sql = f"SELECT {columns} FROM vectors v JOIN images i ON i.id = v.image_id {these}"
            tagged = f"""
                SELECT DISTINCT t.image_id, t.tag
                FROM tags t JOIN vectors v ON v.image_id = t.image_id {these} ORDER BY t.tag
            """
            with self._database.read() as connection:
                tags: dict[int, list[str]] = {}
                for image_id, tag in connection.execute(tagged, chunk):
                    tags.setdefault(image_id, []).append(tag)
                for vector, image, path, width, height, taken, region, *box in connection.execute(sql, chunk):
                    found[vector] = Row(
                        vector_id=vector,
                        image_id=image,
                        path=_path(path),
                        width=width,
                        height=height,
                        taken=taken,
                        region=region,
                        box=_box(box),
                        tags=tuple(tags.get(image, ())),
                    )
        return found

    def vectors(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[Batch]:
        """Yield all vectors with an id above `after_id`, in order of id, as (ids (n,), rows (n, D)).

        Each batch is a view of its own: rows that are put meanwhile are still met, at the end.
        Raises LibraryDamaged where a stored row does not have D components.
        """
        sql = "SELECT id, data FROM vectors WHERE id > ? ORDER BY id LIMIT ?"
        while True:
            with self._database.read() as connection:
                found = connection.execute(sql, (after_id, batch)).fetchall()
            if not found:
                return
            yield self._as_arrays(found)
            after_id = found[-1][0]

    def fetch(self, vector_ids: Iterable[int]) -> Batch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; ids that are gone are left out."""
        data: dict[int, bytes] = {}
        wanted = [int(number) for number in vector_ids]
        for chunk in _chunks(wanted, CHUNK):
            with self._database.read() as connection:
                data.update(connection.execute(f"SELECT id, data FROM vectors WHERE id IN ({_marks(chunk)})", chunk))
        return self._as_arrays([(number, data[number]) for number in wanted if number in data])

    def parts(self, *, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, in order of image: regions with their boxes, or visual words.

        Each batch is a view of its own, of whole images; images that are put meanwhile may be met or not.
        """
        after = 0
        while (found := self._region_batch(after, batch)) is not None:
            yield found
            after = int(found.owners[-1])
        after = 0
        while (found := self._word_batch(after, batch)) is not None:
            yield found
            after = int(found.owners[-1])

    def _region_batch(self, after: int, images: int) -> RowBatch | None:
        chosen = "SELECT DISTINCT image_id FROM vectors WHERE image_id > ? ORDER BY image_id LIMIT ?"
        sql = f"""
            SELECT id, data, image_id, x0, y0, x1, y1 FROM vectors
            WHERE image_id IN ({chosen}) ORDER BY image_id, region
        """
        with self._database.read() as connection:
            found = connection.execute(sql, (after, images)).fetchall()
        if not found:
            return None
        _, rows = self._as_arrays([row[:2] for row in found])
        boxes = np.array([[np.nan if edge is None else edge for edge in row[3:]] for row in found], np.float32)
        return RowBatch(np.array([row[2] for row in found], np.int64), rows, boxes, None)

    def _word_batch(self, after: int, images: int) -> RowBatch | None:
        sql = "SELECT image_id, words, data FROM words WHERE image_id > ? ORDER BY image_id LIMIT ?"
        with self._database.read() as connection:
            found = connection.execute(sql, (after, images)).fetchall()
        dimension = self.dimension
        if not found or dimension is None:
            return None
        counts = [len(words) // 4 for _, words, _ in found]
        for (image, _, data), count in zip(found, counts, strict=True):
            if len(data) != 2 * count * dimension:
                raise LibraryDamaged(f"{self.file}: the words of image {image} are cut off; {REMEDY}")
        owners = np.repeat(np.array([row[0] for row in found], np.int64), counts)
        words = np.frombuffer(b"".join(row[1] for row in found), "<i4").astype(np.int64)
        rows = np.frombuffer(b"".join(row[2] for row in found), "<f2").reshape(-1, dimension)
        return RowBatch(owners, rows, None, words)

    def features(self, image_id: int) -> bytes | None:
        """Return the local features of an image; None where none are kept."""
        with self._database.read() as connection:
            found = connection.execute("SELECT data FROM features WHERE image_id = ?", (int(image_id),)).fetchone()
        return None if found is None else bytes(found[0])

    def images(self, image_ids: Iterable[int]) -> dict[int, Row]:
        """Return images by their ids, as `rows` does by those of vectors; ids that are gone are left out."""
        found: dict[int, Row] = {}
        for chunk in _chunks([int(number) for number in image_ids], CHUNK):
            these = f"WHERE i.id IN ({_marks(chunk)})"
            tagged = f"SELECT t.image_id, t.tag FROM tags t JOIN images i ON i.id = t.image_id {these} ORDER BY t.tag"
            with self._database.read() as connection:
                tags: dict[int, list[str]] = {}
                for image, tag in connection.execute(tagged, chunk):
                    tags.setdefault(image, []).append(tag)
                sql = f"SELECT i.id, i.path, i.width, i.height, i.taken FROM images i {these}"
                for image, path, width, height, taken in connection.execute(sql, chunk):
                    marks = tuple(tags.get(image, ()))
                    found[image] = Row(0, image, _path(path), width, height, taken, 0, None, marks)
        return found

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the ids of the vectors that went away after `revision`, (n,) ascending."""
        sql = "SELECT id FROM removed_vectors WHERE revision > ? ORDER BY id"
        with self._database.read() as connection:
            return np.array([row[0] for row in connection.execute(sql, (revision,))], dtype=np.int64)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _as_arrays(self, found: Sequence[tuple[int, bytes]]) -> Batch:
        dimension = self.dimension or 0
        for number, data in found:
            if not isinstance(data, bytes) or len(data) != 4 * dimension:
                size = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
                raise LibraryDamaged(
                    f"{self.file}: vector {number} has {size}, expected {4 * dimension} bytes "
                    f"({dimension} float32); {REMEDY}"
                )
        ids = np.array([number for number, _ in found], dtype=np.int64)
        rows = np.frombuffer(b"".join(data for _, data in found), dtype="<f4")
        return ids, rows.reshape(len(found), dimension).astype(np.float32, copy=False)


def path_key(path: Path) -> bytes:
    """Return what the store keeps for `path`: the file system's own bytes."""
    if not path.is_absolute():
        raise UsageError(f"{path}: expected an absolute path; use path.absolute()")
    return os.fsencode(path)


def _path(key: bytes) -> Path:
    return Path(os.fsdecode(key))


def _box(corners: Sequence[float | None]) -> Box | None:
    x0, y0, x1, y1 = corners
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return None
    return x0, y0, x1, y1


def _folder_range(folder: Path) -> tuple[bytes, bytes]:
    """Return the bounds (both excluded) between which the keys of everything inside `folder` lie."""
    key = path_key(folder)
    separator = os.fsencode(os.sep)
    prefix = key if key.endswith(separator) else key + separator
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def _conditions(wanted: Filter) -> tuple[list[str], list[bytes | str]]:
    """Return the SQL conditions on an image and the values they bind."""
    conditions: list[str] = []
    values: list[bytes | str] = []
    if wanted.folder is not None:
        conditions.append("path > ? AND path < ?")
        values.extend(_folder_range(wanted.folder))
    for tag in wanted.tags:
        conditions.append("images.id IN (SELECT image_id FROM tags WHERE tag = ?)")
        values.append(tag)
    for comparison, day in (("day >= ?", wanted.after), ("day <= ?", wanted.before)):
        if day is not None:
            conditions.append(comparison)
            values.append(day.isoformat())
    return conditions, values


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _marks(chunk: Sequence[object]) -> str:
    return ", ".join("?" * len(chunk))
