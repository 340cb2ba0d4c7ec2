"""Reading a store: each call sees one consistent state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kindred.store.cells import IMAGE, KNOWN, Cells
from kindred.store.filters import KINDS, MOST_KEYS, Kind, from_stored
from kindred.store.keys import chunks, folder_range
from kindred.store.listing import Listed, Order, Position
from kindred.store.reading import LARGEST_DIMENSION, META_BYTES, PAGE, KnownReader
from kindred.store.records import Counts, Filter, Outlines, Root, Row, Run, Skip, Value
from kindred.store.sqlite.conditions import conditions, marks
from kindred.store.sqlite.database import Database
from kindred.store.sqlite.failures import REMEDY
from kindred.store.sqlite.files import LOG
from kindred.store.sqlite.listing import count_images, list_images

__all__ = ["ImageReader"]

MOST_PIXELS = 2**31 - 1
"""Longest side of an image."""


class ImageReader(KnownReader):
    """Queries about images, tags, metadata and runs, from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cells = Cells(database.file, REMEDY)

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return self._database.file

    @property
    def writable(self) -> bool:
        """Whether the file and its folder may be written to."""
        return self._database.writable

    @property
    def meta(self) -> dict[str, str]:
        """All facts about the library as a whole, by name."""
        with self._database.read() as connection:
            if (
                int(connection.execute("SELECT total(length(key) + length(value)) FROM meta").fetchone()[0])
                > META_BYTES
            ):
                raise self._cells.error("its table meta is larger than Kindred ever writes it")
            found = connection.execute("SELECT key, value FROM meta").fetchall()
        text = self._cells.text
        return {text(key, "meta", "key"): text(value, f"meta {key!a}", "value") for key, value in found}

    @property
    def revision(self) -> int:
        """A number that increases with every committed change."""
        return self._number("revision")

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which vectors, words or local features were last added or removed."""
        return self._number("vectors_revision")

    @property
    def dimension(self) -> int | None:
        """D of every vector; None before the first one is stored."""
        with self._database.read() as connection:
            known = connection.execute("SELECT 1 FROM meta WHERE key = 'dimension'").fetchone()
        if known is None:
            return None
        number = self._number("dimension")
        if not 1 <= number <= LARGEST_DIMENSION:
            raise self._cells.damaged("meta 'dimension'", "value", number, f"1 to {LARGEST_DIMENSION:,}")
        return number

    def _number(self, key: str) -> int:
        with self._database.read() as connection:
            found = connection.execute("SELECT substr(value, 1, 40) FROM meta WHERE key = ?", (key,)).fetchone()
        value = None if found is None else found[0]
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
            return int(value)
        raise self._cells.damaged(f"meta {key!r}", "value", value, "a whole number")

    def stored_bytes(self) -> int:
        """Return the size of the file and of its log."""
        parts = (self.file.with_name(f"{self.file.name}{ending}") for ending in ("", LOG))
        return sum(part.stat().st_size for part in parts if part.exists())

    def counts(self) -> Counts:
        """Count images and vectors."""
        with self._database.read() as connection:
            states = dict(connection.execute("SELECT state, count(*) FROM images GROUP BY state"))
            vectors = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        indexed, skipped = states.get("indexed", 0), states.get("skipped", 0)
        return Counts(images=indexed + skipped, indexed=indexed, skipped=skipped, vectors=vectors)

    def _known_by(self, column: str, values: Sequence[bytes]) -> Iterator[Sequence[object]]:
        for chunk in chunks(values):
            with self._database.read() as connection:
                sql = f"SELECT {KNOWN} FROM images WHERE {column} IN ({marks(chunk)})"
                found = connection.execute(sql, chunk).fetchall()
            yield from found

    def _page(self, columns: str, after: bytes, before: bytes) -> Sequence[Sequence[object]]:
        sql = f"SELECT {columns} FROM images WHERE path > ? AND path < ? ORDER BY path LIMIT ?"
        with self._database.read() as connection:
            return connection.execute(sql, (after, before, PAGE)).fetchall()

    def count_under(self, folder: Path) -> int:
        """Count the images in `folder`, recursively."""
        with self._database.read() as connection:
            sql = "SELECT count(*) FROM images WHERE path > ? AND path < ?"
            return int(connection.execute(sql, folder_range(folder)).fetchone()[0])

    def skipped(self) -> list[Skip]:
        """Return every image that could not be used, with the reason, ordered by path."""
        sql = "SELECT id, path, reason, final FROM images WHERE state = 'skipped' ORDER BY path"
        with self._database.read() as connection:
            found = connection.execute(sql).fetchall()
        cells, skips = self._cells, []
        for number, path, reason, final in found:
            row = f"image {number}"
            skips.append(Skip(cells.path(path, row), cells.text(reason, row, "reason"), bool(final)))
        return skips

    def tags(self) -> dict[str, int]:
        """Return every tag with its number of images, ordered by name."""
        with self._database.read() as connection:
            found = connection.execute("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag").fetchall()
        return {self._cells.text(tag, "tags", "tag"): count for tag, count in found}

    def metadata_keys(self) -> dict[str, int]:
        """Return every metadata key with its number of images, ordered by name."""
        with self._database.read() as connection:
            found = connection.execute("SELECT key, count(*) FROM metadata GROUP BY key ORDER BY key").fetchall()
        return {self._cells.text(key, "metadata", "key"): count for key, count in found}

    def metadata_kinds(self, key: str) -> frozenset[Kind]:
        """Return the types of the values of a key of metadata; none if no image has it."""
        sql = "SELECT EXISTS (SELECT 1 FROM metadata WHERE key = ? AND kind = ?)"
        with self._database.read() as connection:
            return frozenset(kind for kind in KINDS if connection.execute(sql, (key, kind)).fetchone()[0])

    def roots(self) -> list[Root]:
        """Return the indexed folders, ordered by path."""
        with self._database.read() as connection:
            found = connection.execute("SELECT path, device, images, seen FROM roots ORDER BY path").fetchall()
        cells, roots = self._cells, []
        for path, device, images, seen in found:
            where = cells.path(path, "roots")
            row = f"root {where}"
            facts = cells.identity(device, row, "device"), cells.natural(images, row, "images")
            roots.append(Root(where, *facts, cells.text(seen, row, "seen")))
        return roots

    def runs(self, limit: int = 10) -> list[Run]:
        """Return the newest `limit` indexing runs, newest first."""
        columns = "id, started, finished, found, indexed, unchanged, skipped, removed, moved"
        with self._database.read() as connection:
            found = connection.execute(f"SELECT {columns} FROM runs ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        cells, runs = self._cells, []
        for number, started, finished, *counts in found:
            row = f"run {number}"
            times = cells.text(started, row, "started"), cells.optional_text(finished, row, "finished")
            runs.append(Run(number, *times, *(cells.natural(count, row, "a count") for count in counts)))
        return runs

    def select(self, where: Filter) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that match `where`, (n,) ascending."""
        found, values = conditions(where)
        sql = "SELECT id FROM vectors"
        if found:
            sql = (
                "SELECT vectors.id FROM images JOIN vectors ON vectors.image_id = images.id "
                f"WHERE {' AND '.join(found)}"
            )
        with self._database.read() as connection:
            ids = np.fromiter((row[0] for row in connection.execute(sql, values)), dtype=np.int64)
        return np.sort(ids)

    def select_images(self, where: Filter) -> NDArray[np.int64]:
        """Return the numbers of all images that match `where`, (n,) ascending."""
        found, values = conditions(where)
        sql = "SELECT id FROM images"
        if found:
            sql += f" WHERE {' AND '.join(found)}"
        with self._database.read() as connection:
            ids = np.fromiter((row[0] for row in connection.execute(sql, values)), dtype=np.int64)
        return np.sort(ids)

    def outlines(self, where: Filter) -> Outlines:
        """Return the ids, paths, sizes and days of all indexed images that match `where`, by ascending number."""
        found, values = conditions(where)
        sql = "SELECT id, uid, path, width, height, day FROM images WHERE "
        sql += " AND ".join(["state = 'indexed'", *found]) + " ORDER BY id"
        with self._database.read() as connection:
            rows = connection.execute(sql, values).fetchall()
        check = self._cells
        sizes = np.zeros((len(rows), 2), np.int32)
        for at, (number, _, _, *sides, _) in enumerate(rows):
            for side, (name, value) in enumerate(zip(("width", "height"), sides, strict=True)):
                sizes[at, side] = min(check.optional_natural(value, f"image {number}", name) or 0, MOST_PIXELS)
        return Outlines(
            np.array([check.natural(row[0], "images", "id") for row in rows], np.int64),
            tuple(check.text(row[1], f"image {row[0]}", "uid") for row in rows),
            tuple(check.path(row[2], f"image {row[0]}") for row in rows),
            sizes,
            np.array([check.day(row[5], f"image {row[0]}") for row in rows], "datetime64[D]"),
        )

    def count(self, where: Filter) -> int:
        """Count the indexed images that match `where`."""
        with self._database.read() as connection:
            return count_images(connection, where)

    def days(self, where: Filter) -> dict[date | None, int]:
        """Count the indexed images that match `where` by the day they were taken; None: those without a day."""
        found, values = conditions(where)
        sql = "SELECT day, count(*) FROM images WHERE " + " AND ".join(["state = 'indexed'", *found]) + " GROUP BY day"
        with self._database.read() as connection:
            return {self._cells.day(day, "images"): count for day, count in connection.execute(sql, values)}

    def listed(self, where: Filter, order: Order, *, after: Position | None = None, limit: int) -> Listed:
        """Return up to `limit` indexed images that match `where`, in an order, from the position `after` on."""
        with self._database.read() as connection:
            return list_images(connection, self._cells, where, order, after=after, limit=limit)

    def rows(self, vector_ids: Iterable[int]) -> dict[int, Row]:
        """Return the image and region of each vector, by vector id; removed ids are left out."""
        found: dict[int, Row] = {}
        sql = (
            f"SELECT {IMAGE}, v.id, v.region, v.x0, v.y0, v.x1, v.y1 FROM vectors v JOIN images i ON i.id = v.image_id"
        )
        for chunk in chunks([int(number) for number in vector_ids]):
            with self._database.read() as connection:
                rows = connection.execute(f"{sql} WHERE v.id IN ({marks(chunk)})", chunk).fetchall()
                extras = self._extras(connection, list({row[0] for row in rows}))
            found.update((row[10], self._cells.image(row, *extras)) for row in rows)
        return found

    def images(self, image_ids: Iterable[int]) -> dict[int, Row]:
        """Return images by number, in the form of `rows`; removed numbers are left out."""
        rows = self._images("i.id", [int(number) for number in image_ids])
        return {row.image_id: row for row in rows}

    def by_uid(self, uids: Iterable[str]) -> dict[str, Row]:
        """Return images by public id, in the form of `images`; unknown ids are left out."""
        return {row.uid: row for row in self._images("i.uid", list(uids))}

    def _images(self, column: str, values: Sequence[int | str]) -> Iterator[Row]:
        for chunk in chunks(values):
            with self._database.read() as connection:
                sql = f"SELECT {IMAGE}, 0, 0, NULL, NULL, NULL, NULL FROM images i WHERE {column} IN ({marks(chunk)})"
                rows = connection.execute(sql, chunk).fetchall()
                extras = self._extras(connection, [row[0] for row in rows])
            yield from (self._cells.image(row, *extras) for row in rows)

    def _extras(
        self, connection: sqlite3.Connection, images: Sequence[int]
    ) -> tuple[dict[int, list[str]], dict[int, dict[str, Value]]]:
        """Return the tags and the metadata of images."""
        tags: dict[int, list[str]] = {}
        metadata: dict[int, dict[str, Value]] = {}
        sql = f"SELECT image_id, tag FROM tags WHERE image_id IN ({marks(images)}) ORDER BY tag"
        for image, tag in connection.execute(sql, images):
            tags.setdefault(image, []).append(self._cells.text(tag, f"image {image}", "tag"))
        sql = f"SELECT image_id, key, kind, value FROM metadata WHERE image_id IN ({marks(images)}) ORDER BY key"
        for image, key, kind, value in connection.execute(sql, images):
            row, held = f"image {image}", metadata.setdefault(image, {})
            try:
                held[self._cells.text(key, row, "a key of metadata")] = from_stored(kind, value)
            except ValueError:
                raise self._cells.damaged(row, f"metadata {key!a}", value, f"a value of kind {kind!s:.20}") from None
            if len(held) > MOST_KEYS:
                raise self._cells.damaged(row, "metadata", f"{len(held)} keys", f"at most {MOST_KEYS}")
        return tags, metadata

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
