"""SqliteStore: a store in one SQLite file."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kindred._support.os_errors import lack_of_room
from kindred.errors import LibraryError, LibraryFull
from kindred.store.entries import check_meta_keys, now, signed
from kindred.store.filters import checked_metadata
from kindred.store.keys import path_key
from kindred.store.records import Entry, FileStamp, Key, Root, Run, Value
from kindred.store.saved import SavedSearch, checked_name, checked_search
from kindred.store.sqlite import marking, remembering, writing
from kindred.store.sqlite.database import Database, create_database
from kindred.store.sqlite.failures import full
from kindred.store.sqlite.lock import RunLock
from kindred.store.sqlite.vectors import VectorReader

__all__ = ["SqliteStore"]


class SqliteStore(VectorReader):
    """The store of one library in an SQLite file, made with `create` or opened with `open`; it is a context manager.

    A change locks the file for one transaction and waits some seconds for those of other processes. If the disk is
    full, LibraryFull is raised: nothing of that change is stored, and all earlier changes are.
    """

    @classmethod
    def create(cls, file: Path, meta: Mapping[str, str]) -> Self:
        """Create a store at `file`, with its folder, and open it.

        `meta`: facts about the library as a whole; "uuid", "created", the revisions and, with the first vector,
        "dimension" are added. Raises LibraryError if the file exists, LibraryLocked while another process creates it.
        """
        check_meta_keys(meta)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = RunLock(file.parent)
            try:
                if file.exists():
                    raise LibraryError(f"{file}: exists already; open it, or choose another folder")
                create_database(file, {"uuid": uuid.uuid4().hex, "created": now(), **meta})
                return cls(Database(file))
            finally:
                lock.release()
        except LibraryFull as error:
            raise full(file.parent, lack_of_room(file.parent), so="no library was created") from error

    @classmethod
    def open(cls, file: Path) -> Self:
        """Open the store at `file`; reading also works in a read-only folder or file system.

        Raises LibraryNotFound, LibraryTooNew, LibraryDamaged or LibraryError.
        """
        return cls(Database(file))

    @property
    def replaced(self) -> bool:
        """Whether the file is gone or is no longer the one that was opened."""
        return self._database.replaced

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Group changes into one transaction: committed at the end, or rolled back by an exception."""
        with self._database.write():
            yield

    @contextmanager
    def indexing(self) -> Iterator[None]:
        """Hold the lock of an indexing run."""
        lock = RunLock(self.file.parent)
        try:
            yield
        finally:
            lock.release()

    def put(self, entries: Sequence[Entry]) -> None:
        """Add images, or replace those with the same path and all their vectors; id, tags and metadata are unchanged.

        Raises UsageError, and changes nothing, if an entry is inconsistent or its rows are not (R, D).
        """
        from kindred._support.version import __version__

        with self._database.write() as connection:
            writing.put_entries(connection, entries, version=__version__)

    def restamp(self, stamps: Iterable[FileStamp]) -> None:
        """Record new paths, sizes and times of files with unchanged content; removed images are ignored."""
        with self._database.write() as connection:
            writing.restamp_images(connection, list(stamps))

    def forget(self, images: Iterable[Key]) -> int:
        """Remove images with their vectors, tags and metadata; return how many there were."""
        with self._database.write() as connection:
            known = marking.image_ids(connection, images)
            return writing.forget_images(connection, known) if known else 0

    def give_ids(self, ids: Mapping[Path, str]) -> int:
        """Give images the ids that they had before they were removed; return how many of them have it then."""
        with self._database.write() as connection:
            return marking.give_ids(connection, ids)

    def move(self, old: Path, new: Path) -> int:
        """Record that a file, or a folder with everything in it, has been moved; return the number of images."""
        with self._database.write() as connection:
            return marking.move_images(connection, old, new)

    def tag(self, images: Iterable[Key], tag: str) -> int:
        """Add `tag` to images; return how many of them are in the store."""
        with self._database.write() as connection:
            return marking.put_tag(connection, images, tag)

    def untag(self, images: Iterable[Key], tag: str) -> int:
        """Remove `tag` from images; return how many had it."""
        with self._database.write() as connection:
            return marking.remove_tag(connection, images, tag)

    def set_metadata(self, images: Iterable[Key], values: Mapping[str, Value]) -> int:
        """Set metadata of images; other keys are unchanged. Return how many of the images are in the store."""
        checked = checked_metadata(values)
        with self._database.write() as connection:
            return marking.put_metadata(connection, images, checked)

    def unset_metadata(self, images: Iterable[Key], keys: Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        with self._database.write() as connection:
            return marking.remove_metadata(connection, images, list(keys))

    def not_same(self) -> NDArray[np.int64]:
        """Return the pairs of images, by number, that were marked as not the same, (n, 2): one < other, ascending."""
        with self._database.read() as connection:
            return remembering.read_pairs(connection, self._cells)

    def set_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Mark pairs of images as not the same; return how many pairs of different images of the store were given."""
        with self._database.write() as connection:
            return remembering.put_pairs(connection, pairs)

    def unset_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Remove the marks of pairs of images, in either order; return how many there were."""
        with self._database.write() as connection:
            return remembering.remove_pairs(connection, pairs)

    def saved_searches(self) -> list[SavedSearch]:
        """Return the saved searches, ordered by name."""
        with self._database.read() as connection:
            return remembering.read_searches(connection, self._cells)

    def save_search(self, name: str, search: Mapping[str, object]) -> SavedSearch:
        """Save a search by name, in place of one of the same name, which then keeps its id."""
        checked = checked_name(name), checked_search(search)
        with self._database.write() as connection:
            return remembering.put_search(connection, *checked)

    def remove_search(self, uid: str) -> bool:
        """Remove a saved search by id; return whether there was one."""
        with self._database.write() as connection:
            return remembering.drop_search(connection, uid)

    def set_meta(self, key: str, value: str | None) -> None:
        """Set one fact about the library as a whole; None removes it."""
        if key != "dimension" or value is not None:
            check_meta_keys([key])
        with self._database.write() as connection:
            writing.next_revision(connection)
            if value is None:
                connection.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                writing.set_meta_value(connection, key, value)

    def set_root(self, root: Root) -> None:
        """Record a folder that was indexed."""
        sql = "INSERT OR REPLACE INTO roots (path, device, images, seen) VALUES (?, ?, ?, ?)"
        with self._database.write() as connection:
            connection.execute(sql, (path_key(root.path), signed(root.device), root.images, root.seen))

    def begin_run(self) -> int:
        """Record the start of an indexing run; return its number."""
        with self._database.write() as connection:
            number = connection.execute("INSERT INTO runs (started) VALUES (?)", (now(),)).lastrowid
        return int(number or 0)

    def finish_run(self, run: int, done: Run) -> None:
        """Record the end of run `run`, with its counts in `done`."""
        sql = """
            UPDATE runs SET finished = ?, found = ?, indexed = ?, unchanged = ?, skipped = ?, removed = ?, moved = ?
            WHERE id = ?
        """
        counts = done.found, done.indexed, done.unchanged, done.skipped, done.removed, done.moved
        with self._database.write() as connection:
            connection.execute(sql, (now(), *counts, run))
