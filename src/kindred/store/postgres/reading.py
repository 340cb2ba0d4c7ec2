"""Reading a store in PostgreSQL: images, tags, metadata and runs; each call sees one consistent state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kindred.store.cells import IMAGE, KNOWN, Cells
from kindred.store.filters import KINDS, Kind, from_stored
from kindred.store.keys import chunks, folder_range
from kindred.store.listing import Listed, Order, Position
from kindred.store.postgres.bounds import cut
from kindred.store.postgres.conditions import conditions
from kindred.store.postgres.database import Database
from kindred.store.postgres.failures import REMEDY
from kindred.store.postgres.listing import counting, listing
from kindred.store.postgres.url import PostgresUrl
from kindred.store.reading import LARGEST_DIMENSION, META_BYTES, PAGE, KnownReader
from kindred.store.records import Counts, Filter, Outlines, Root, Row, Run, Skip, Value
from kindred.store.saved import SEARCH_BYTES, SavedSearch

__all__ = ["ImageReader"]

MANY = 5000
"""Values of one statement."""
FILE_BYTES = 1_000_000_000
"""Maximum size of a fitted file, as in a folder."""

EXTRAS = f"""
    ARRAY(SELECT {cut("tag")} FROM tags t WHERE t.image_id = i.id ORDER BY tag),
    ARRAY(SELECT ARRAY[{cut("key, kind, value")}] FROM metadata m WHERE m.image_id = i.id ORDER BY key)
"""


class ImageReader(KnownReader):
    """Queries about images, tags, metadata and runs, from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cells = Cells(database.url, REMEDY)
        self._writable: bool | None = None

    @property
    def url(self) -> PostgresUrl:
        """The address of the library."""
        return self._database.url

    @property
    def writable(self) -> bool:
        """Whether the user of the connection may change the library; asked once."""
        if self._writable is None:
            sql = """
                SELECT has_table_privilege('state', 'UPDATE') AND has_table_privilege('images', 'INSERT')
                    AND NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
            """
            self._writable = bool(self._database.rows(sql)[0][0])
        return self._writable

    @property
    def meta(self) -> dict[str, str]:
        """All facts about the library as a whole, by name."""
        size = self._database.rows("SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0)::int8 FROM meta")
        if size[0][0] > META_BYTES:
            raise self._cells.error("its table meta is larger than Kindred ever writes it")
        found = dict(self._database.rows("SELECT key, value FROM meta"))
        state = self._database.rows(f"SELECT {cut('uuid')}, revision, vectors_revision, dimension FROM state")
        for name, value in zip(("uuid", "revision", "vectors_revision", "dimension"), self._one(state), strict=True):
            if value is not None:
                found[name] = str(value)
        return found

    @property
    def revision(self) -> int:
        """A number that increases with every committed change."""
        return self._state("revision")

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which vectors, words or local features were last added or removed."""
        return self._state("vectors_revision")

    @property
    def dimension(self) -> int | None:
        """D of every vector; None before the first one is stored."""
        number = self._state("coalesce(dimension, 0)")
        if not 0 <= number <= LARGEST_DIMENSION:
            raise self._cells.damaged("state", "dimension", number, f"1 to {LARGEST_DIMENSION:,}")
        return number or None

    def _state(self, column: str) -> int:
        uuid, number = self._one(self._database.rows(f"SELECT {cut('uuid')}, {column} FROM state"))
        self._database.check_same(uuid)
        return int(number)

    def _one(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        if not rows:
            raise self._cells.error("is damaged (its table state is empty)")
        return rows[0]

    def counts(self) -> Counts:
        """Count images and vectors."""
        sql = """
            SELECT count(*) FILTER (WHERE state = 'indexed'), count(*) FILTER (WHERE state = 'skipped'),
                (SELECT vectors FROM state) FROM images
        """
        indexed, skipped, vectors = self._database.rows(sql)[0]
        return Counts(images=indexed + skipped, indexed=indexed, skipped=skipped, vectors=vectors)

    def stored_bytes(self) -> int:
        """Return the size of the library's tables and indexes on the server."""
        sql = """
            SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'
        """
        return int(self._database.rows(sql, (self.url.schema,))[0][0])

    def file_digests(self) -> dict[str, bytes]:
        """Return the SHA-256 of each fitted file that the recipe names, by name."""
        return dict(self._database.rows(f"SELECT {cut('name')}, sha256(data) FROM files ORDER BY name"))

    def files(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return fitted files by name; unknown names, and files that are too large, are left out."""
        sql = "SELECT name, data FROM files WHERE name = ANY(%s) AND octet_length(data) <= %s"
        return dict(self._database.rows(sql, (list(names), FILE_BYTES)))

    def _known_by(self, column: str, values: Sequence[bytes]) -> Iterator[Sequence[object]]:
        sql = f"SELECT {cut(KNOWN)} FROM images WHERE {column} = ANY(%s)"
        for chunk in chunks(values, MANY):
            yield from self._database.rows(sql, (list(chunk),))

    def _page(self, columns: str, after: bytes, before: bytes) -> Sequence[Sequence[object]]:
        sql = f"SELECT {cut(columns)} FROM images WHERE path > %s AND path < %s ORDER BY path LIMIT {PAGE}"
        return self._database.rows(sql, (after, before))

    def count_under(self, folder: Path) -> int:
        """Count the images in `folder`, recursively."""
        sql = "SELECT count(*) FROM images WHERE path > %s AND path < %s"
        return int(self._database.rows(sql, folder_range(folder))[0][0])

    def skipped(self) -> list[Skip]:
        """Return every image that could not be used, with the reason, ordered by path."""
        sql = f"SELECT {cut('id, path, reason, final')} FROM images WHERE state = 'skipped' ORDER BY path"
        cells, skips = self._cells, []
        for number, path, reason, final in self._database.rows(sql):
            row = f"image {number}"
            skips.append(Skip(cells.path(path, row), cells.text(reason, row, "reason"), final))
        return skips

    def tags(self) -> dict[str, int]:
        """Return every tag with its number of images, ordered by name."""
        return dict(self._database.rows(f"SELECT {cut('tag')}, count(*) FROM tags GROUP BY tag ORDER BY tag"))

    def metadata_keys(self) -> dict[str, int]:
        """Return every metadata key with its number of images, ordered by name."""
        sql = f"SELECT {cut('key')}, count(*) FROM metadata GROUP BY key ORDER BY key"
        return dict(self._database.rows(sql))

    def metadata_kinds(self, key: str) -> frozenset[Kind]:
        """Return the types of the values of a key of metadata; none if no image has it."""
        if "\0" in key:
            return frozenset()
        sql = f"SELECT DISTINCT {cut('kind')} FROM metadata WHERE key = %s"
        found = {kind for (kind,) in self._database.rows(sql, (key,))}
        return frozenset(kind for kind in KINDS if kind in found)

    def roots(self) -> list[Root]:
        """Return the indexed folders, ordered by path."""
        found = self._database.rows(f"SELECT {cut('path, device, images, seen')} FROM roots ORDER BY path")
        cells = self._cells
        return [
            Root(cells.path(path, "roots"), cells.identity(device, "a root", "device"), images, seen)
            for path, device, images, seen in found
        ]

    def runs(self, limit: int = 10) -> list[Run]:
        """Return the newest `limit` indexing runs, newest first."""
        columns = cut("id, started, finished, found, indexed, unchanged, skipped, removed, moved")
        found = self._database.rows(f"SELECT {columns} FROM runs ORDER BY id DESC LIMIT %s", (limit,))
        return [Run(*row) for row in found]

    def select(self, where: Filter) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that match `where`, (n,) ascending."""
        condition, values = conditions(where)
        sql = "SELECT v.id FROM vectors v"
        if condition != "true":
            sql = f"SELECT v.id FROM images i JOIN vectors v ON v.image_id = i.id WHERE {condition}"
        return self._ids(sql, values)

    def select_images(self, where: Filter) -> NDArray[np.int64]:
        """Return the numbers of all images that match `where`, (n,) ascending."""
        condition, values = conditions(where)
        return self._ids(f"SELECT i.id FROM images i WHERE {condition}", values)

    def _ids(self, sql: str, values: Sequence[Any]) -> NDArray[np.int64]:
        found = self._database.rows(sql, values)
        return np.sort(np.fromiter((row[0] for row in found), np.int64, len(found)))

    def outlines(self, where: Filter) -> Outlines:
        """Return the ids, paths, sizes and days of all indexed images that match `where`, by ascending number."""
        condition, values = conditions(where)
        columns = f"{cut('i.id, i.uid, i.path')}, coalesce(i.width, 0), coalesce(i.height, 0), {cut('i.day')}"
        sql = f"SELECT {columns} FROM images i WHERE i.state = 'indexed' AND {condition} ORDER BY i.id"
        rows, check = self._database.rows(sql, values), self._cells
        return Outlines(
            np.array([row[0] for row in rows], np.int64),
            tuple(row[1] for row in rows),
            tuple(check.path(row[2], f"image {row[0]}") for row in rows),
            np.array([row[3:5] for row in rows], np.int32).reshape(len(rows), 2),
            np.array([check.day(row[5], f"image {row[0]}") for row in rows], "datetime64[D]"),
        )

    def count(self, where: Filter) -> int:
        """Count the indexed images that match `where`."""
        return int(self._database.rows(*counting(where))[0][0])

    def days(self, where: Filter) -> dict[date | None, int]:
        """Count the indexed images that match `where` by the day they were taken; None: those without a day."""
        condition, values = conditions(where)
        sql = f"SELECT {cut('i.day')}, count(*) FROM images i WHERE i.state = 'indexed' AND {condition} GROUP BY i.day"
        return {self._cells.day(day, "images"): int(count) for day, count in self._database.rows(sql, values)}

    def listed(self, where: Filter, order: Order, *, after: Position | None = None, limit: int) -> Listed:
        """Return up to `limit` indexed images that match `where`, in an order, from the position `after` on."""
        rows = self._database.rows(*listing(where, order, after=after, limit=limit + 1))
        following = tuple(rows[limit - 1][3:]) if len(rows) > limit else None
        rows = rows[:limit]
        sizes = np.array([row[1:3] for row in rows], np.int32).reshape(-1, 2)
        return Listed(tuple(row[0] for row in rows), sizes, following)

    def not_same(self) -> NDArray[np.int64]:
        """Return the pairs of images, by number, that were marked as not the same, (n, 2): one < other, ascending."""
        found = self._database.rows("SELECT one, other FROM not_same ORDER BY one, other")
        return np.array(found, np.int64).reshape(-1, 2)

    def saved_searches(self) -> list[SavedSearch]:
        """Return the saved searches, ordered by name."""
        sql = f"SELECT {cut('uid, name, search, saved_at')} FROM saved_searches ORDER BY name"
        found = [SavedSearch(*row) for row in self._database.rows(sql)]
        if large := next((each for each in found if len(each.search) > SEARCH_BYTES), None):
            raise self._cells.error(f"saved search {large.name!a} is larger than Kindred ever writes it")
        return found

    def rows(self, vector_ids: Iterable[int]) -> dict[int, Row]:
        """Return the image and region of each vector, by vector id; removed ids are left out."""
        sql = f"""
            SELECT {cut(IMAGE)}, v.id, v.region, v.x0, v.y0, v.x1, v.y1, {EXTRAS}
            FROM vectors v JOIN images i ON i.id = v.image_id WHERE v.id = ANY(%s)
        """
        return {row.vector_id: row for row in self._images(sql, [int(number) for number in vector_ids])}

    def images(self, image_ids: Iterable[int]) -> dict[int, Row]:
        """Return images by number, in the form of `rows`; removed numbers are left out."""
        return {row.image_id: row for row in self._whole("i.id", [int(number) for number in image_ids])}

    def by_uid(self, uids: Iterable[str]) -> dict[str, Row]:
        """Return images by public id, in the form of `images`; unknown ids are left out."""
        return {row.uid: row for row in self._whole("i.uid", [uid for uid in uids if "\0" not in uid])}

    def _whole(self, column: str, values: Sequence[int | str]) -> Iterator[Row]:
        sql = f"SELECT {cut(IMAGE)}, 0, 0, NULL, NULL, NULL, NULL, {EXTRAS} FROM images i WHERE {column} = ANY(%s)"
        return self._images(sql, values)

    def _images(self, sql: str, values: Sequence[int | str]) -> Iterator[Row]:
        for chunk in chunks(values, MANY):
            for *cells, tags, metadata in self._database.rows(sql, (list(chunk),)):
                number = cells[0]
                held = {key: self._value(number, key, kind, value) for key, kind, value in metadata}
                yield self._cells.image(cells, {number: tags}, {number: held})

    def _value(self, number: int, key: str, kind: str, value: str) -> Value:
        try:
            return from_stored(kind, _number(value) if kind == "number" else value)
        except ValueError:
            raise self._cells.damaged(
                f"image {number}", f"metadata {key!a}", value, f"a value of kind {kind!s:.20}"
            ) from None

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
