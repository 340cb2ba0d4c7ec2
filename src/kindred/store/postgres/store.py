"""PostgresStore: a store in a schema of a PostgreSQL database, for any number of machines that read and write."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from psycopg import sql

from kindred.errors import UsageError
from kindred.store.entries import check_meta_keys, now, signed
from kindred.store.filters import checked_metadata
from kindred.store.keys import path_key
from kindred.store.postgres import marking, remembering, writing
from kindred.store.postgres.bounds import cut
from kindred.store.postgres.conditions import storable
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import Database, fetch
from kindred.store.postgres.migrations import make_schema, migrate
from kindred.store.postgres.queue import PostgresQueue
from kindred.store.postgres.search import VectorSearch
from kindred.store.postgres.url import PostgresUrl
from kindred.store.postgres.vectors import VectorReader
from kindred.store.records import Entry, FileStamp, Key, Root, Run, Value
from kindred.store.saved import SavedSearch, checked_name, checked_search

__all__ = ["PostgresStore"]

NO_FILES: Mapping[str, bytes] = {}


class PostgresStore(VectorReader):
    """The store of one library in PostgreSQL, made with `create` or opened with `open`; it is a context manager.

    Any number of processes on any number of machines may read and change it. Calls are repeated while the server
    restarts, and end with LibraryUnreachable if it does not come back within seconds.
    """

    @classmethod
    def create(cls, url: PostgresUrl, meta: Mapping[str, str], files: Mapping[str, bytes] = NO_FILES) -> Self:
        """Create a library in the database and open it; `meta` as in `SqliteStore.create`, `files` as in `set_files`.

        Raises LibraryError if it exists or the database cannot hold it, LibraryNotFound if there is no such database.
        """
        check_meta_keys(meta)
        database, name = Database(url), uuid.uuid4().hex

        def make(connection: TimedConnection) -> None:
            with connection.transaction():
                make_schema(connection, url)
                fetch(connection, "INSERT INTO state (uuid) VALUES (%s)", (name,))
                for key, value in {"created": now(), **meta}.items():
                    writing.set_meta_value(connection, key, value)
                _put_files(connection, files)

        try:
            database.read(make, patience=0)
            return cls._over(database)
        except BaseException:
            database.close()
            raise

    @classmethod
    def open(cls, url: PostgresUrl) -> Self:
        """Open the library at `url`. Raises LibraryNotFound, LibraryTooNew, LibraryUnreachable or LibraryError."""
        database = Database(url)

        def check(connection: TimedConnection) -> None:
            with connection.transaction():
                migrate(connection, url)

        try:
            database.read(check)
            return cls._over(database)
        except BaseException:
            database.close()
            raise

    @classmethod
    def _over(cls, database: Database) -> Self:
        store = cls(database)
        (database.uuid,) = store._one(database.rows(f"SELECT {cut('uuid')} FROM state"))
        return store

    @property
    def vector_search(self) -> VectorSearch:
        """The search of the vectors by the server."""
        return VectorSearch(self._database)

    def work_queue(self) -> PostgresQueue:
        """Return the queue by which several processes share the work of indexing, for one of them."""
        return PostgresQueue(self._database)

    replaced = False
    """Each call finds out by itself, and raises LibraryNotFound or LibraryReplaced."""

    def delete(self) -> None:
        """Delete the library, with everything in it, from the database."""
        statement = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.url.schema))
        self._database.read(lambda connection: connection.execute(statement), patience=0)
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Group changes into one transaction: committed at the end, or rolled back by an exception."""
        with self._database.transaction():
            yield

    @contextmanager
    def indexing(self) -> Iterator[None]:
        """Do nothing: any number of indexing runs may be in progress; each change is a transaction of its own."""
        yield

    def put(self, entries: Sequence[Entry]) -> None:
        """Add images, or replace those with the same path and all their vectors; id, tags and metadata are unchanged.

        An image that is stored with the same vectors, words and features keeps them. Raises UsageError, and changes
        nothing, if an entry is inconsistent or its rows are not (R, D).
        """
        from kindred._support.version import __version__

        ready = writing.prepared(entries, __version__)  # before the lock is taken
        self._database.change(lambda connection: writing.put_prepared(connection, ready))

    def restamp(self, stamps: Iterable[FileStamp]) -> None:
        """Record new paths, sizes and times of files with unchanged content; removed images are ignored."""
        listed = list(stamps)
        self._database.change(lambda connection: writing.restamp_images(connection, listed))

    def forget(self, images: Iterable[Key]) -> int:
        """Remove images with their vectors, tags and metadata; return how many there were."""
        keys = list(images)

        def forget(connection: TimedConnection) -> int:
            known = marking.image_ids(connection, keys)
            return writing.forget_images(connection, known) if known else 0

        return self._database.change(forget)

    def give_ids(self, ids: Mapping[Path, str]) -> int:
        """Give images the ids that they had before they were removed; return how many of them have it then."""
        return self._database.change(lambda connection: marking.give_ids(connection, ids))

    def move(self, old: Path, new: Path) -> int:
        """Record that a file, or a folder with everything in it, has been moved; return the number of images."""
        return self._database.change(lambda connection: marking.move_images(connection, old, new))

    def tag(self, images: Iterable[Key], tag: str) -> int:
        """Add `tag` to images; return how many of them are in the store."""
        keys = list(images)
        return self._database.change(lambda connection: marking.put_tag(connection, keys, tag))

    def untag(self, images: Iterable[Key], tag: str) -> int:
        """Remove `tag` from images; return how many had it."""
        keys = list(images)
        return self._database.change(lambda connection: marking.remove_tag(connection, keys, tag))

    def set_metadata(self, images: Iterable[Key], values: Mapping[str, Value]) -> int:
        """Set metadata of images; other keys are unchanged. Return how many of the images are in the store."""
        keys, checked = list(images), checked_metadata(values)
        return self._database.change(lambda connection: marking.put_metadata(connection, keys, checked))

    def unset_metadata(self, images: Iterable[Key], keys: Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        given, named = list(images), list(keys)
        return self._database.change(lambda connection: marking.remove_metadata(connection, given, named))

    def set_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Mark pairs of images as not the same; return how many pairs of different images of the store were given."""
        given = list(pairs)
        return self._database.change(lambda connection: remembering.put_pairs(connection, given))

    def unset_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Remove the marks of pairs of images, in either order; return how many there were."""
        given = list(pairs)
        return self._database.change(lambda connection: remembering.remove_pairs(connection, given))

    def save_search(self, name: str, search: Mapping[str, object]) -> SavedSearch:
        """Save a search by name, in place of one of the same name, which then keeps its id."""
        checked = checked_name(name), checked_search(search)
        return self._database.change(lambda connection: remembering.put_search(connection, *checked))

    def remove_search(self, uid: str) -> bool:
        """Remove a saved search by id; return whether there was one."""
        return self._database.change(lambda connection: remembering.drop_search(connection, uid))

    def set_meta(self, key: str, value: str | None) -> None:
        """Set one fact about the library as a whole; None removes it."""
        if key != "dimension" or value is not None:
            check_meta_keys([key])
        if not storable(key) or (value is not None and not storable(value)):
            raise UsageError(f"meta: {key!r} holds the character NUL; expected text without it")

        def change(connection: TimedConnection) -> None:
            writing.next_revision(connection)
            if key == "dimension":
                fetch(connection, "UPDATE state SET dimension = NULL")
            elif value is None:
                fetch(connection, "DELETE FROM meta WHERE key = %s", (key,))
            else:
                writing.set_meta_value(connection, key, value)

        self._database.change(change)

    def set_files(self, files: Mapping[str, bytes]) -> None:
        """Replace the fitted files that the recipe names."""

        def change(connection: TimedConnection) -> None:
            writing.next_revision(connection)
            fetch(connection, "DELETE FROM files")
            _put_files(connection, files)

        self._database.change(change)

    def set_root(self, root: Root) -> None:
        """Record a folder that was indexed."""
        statement = """
            INSERT INTO roots (path, device, images, seen) VALUES (%s, %s, %s, %s)
            ON CONFLICT (path) DO UPDATE SET device = excluded.device, images = excluded.images, seen = excluded.seen
        """
        values = path_key(root.path), signed(root.device), root.images, root.seen
        self._database.change(lambda connection: fetch(connection, statement, values))

    def begin_run(self) -> int:
        """Record the start of an indexing run; return its number."""

        def begin(connection: TimedConnection) -> int:
            number = fetch(connection, "UPDATE state SET last_run = last_run + 1 RETURNING last_run")[0][0]
            fetch(connection, "INSERT INTO runs (id, started) VALUES (%s, %s)", (number, now()))
            return int(number)

        return self._database.change(begin)

    def finish_run(self, run: int, done: Run) -> None:
        """Record the end of run `run`, with its counts in `done`."""
        statement = """
            UPDATE runs SET finished = %s, found = %s, indexed = %s, unchanged = %s, skipped = %s, removed = %s,
                moved = %s
            WHERE id = %s
        """
        counts = done.found, done.indexed, done.unchanged, done.skipped, done.removed, done.moved
        self._database.change(lambda connection: fetch(connection, statement, (now(), *counts, run)))


def _put_files(connection: TimedConnection, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        fetch(connection, "INSERT INTO files (name, data) VALUES (%s, %s)", (name, data))
