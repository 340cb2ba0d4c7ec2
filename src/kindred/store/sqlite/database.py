"""The SQLite file of a store: opening it, sharing it, and translating its errors.

One connection reads; another one, opened at the first change, writes. Readers never wait for a writer (write-ahead
log); writers, of this and other processes, wait for each other, one transaction at a time. A store of an older format
is read as it is, and migrated by the first change: reading never changes a file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from weakref import WeakSet

from kindred._support.forks import abandon
from kindred._support.os_errors import explain_os_error
from kindred.errors import LibraryDamaged, LibraryError, LibraryNotFound, LibraryReplaced, LibraryTooNew, UsageError
from kindred.store.sqlite import schema
from kindred.store.sqlite.failures import REMEDY, primary_code, reported
from kindred.store.sqlite.files import check_files, remove_files, unmerged

__all__ = ["CELL_BYTES", "Database", "create_database"]

READ_SECONDS = 30.0
"""Timeout of a reader, which only waits for recovery after a crash or for a checkpoint; both are short."""
WRITE_SECONDS = 10.0
"""Timeout of a change waiting for other processes, each of which locks the file for one transaction."""
CELL_BYTES = 1 << 26
"""Maximum size of a value and of a row; the local features of an image take about 100 kB."""

_OPEN: WeakSet[Database] = WeakSet()
_HELD: list[RLock] = []
FORK_SECONDS = 2.0
"""Timeout of a fork for each lock: a thread that holds one longer may itself be waiting for the forking thread."""


class Database:
    """The connections to one file, each with a lock: any thread may use them, one at a time.

    A forked child opens its own at first use. Raises LibraryNotFound, LibraryDamaged, LibraryTooNew or LibraryError if
    the file cannot be opened, and LibraryReplaced if it is no longer the file that was opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._closed = False
        self._forget_connections()
        _watch_forks()
        _OPEN.add(self)
        check_files(file)
        self._identity = _identity(file)
        try:
            with reported(self.file):
                self._open_reader()
        except BaseException:
            self.close()
            raise

    def _forget_connections(self) -> None:
        self._read_lock, self._write_lock = RLock(), RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        # Set while the file is open as immutable: its state at that time.
        self._frozen: tuple[int, int, bool] | None = None

    @property
    def locks(self) -> tuple[RLock, RLock]:
        """The locks for writing and reading, in the order in which they must be acquired."""
        return self._write_lock, self._read_lock

    def abandon(self) -> None:
        """Forget the connections without ever closing them, in a forked child, as they belong to its parent."""
        abandon((self._reader, self._writer, self._read_lock, self._write_lock))
        self._forget_connections()

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        with self._write_lock, self._read_lock:
            self._closed = True
            # The writer last: the last connection to close merges the log into the file, which a reader cannot do.
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    @property
    def replaced(self) -> bool:
        """Whether the file is gone or is no longer the one that was opened."""
        try:
            return _identity(self.file) != self._identity
        except OSError:
            return True

    @property
    def writable(self) -> bool:
        """Whether the file and its folder may be written to."""
        return os.access(self.file, os.W_OK) and os.access(self.file.parent, os.W_OK)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Hold a read transaction: one consistent state, including the current change of the same thread."""
        writer = self._writer
        if writer is not None and _is_changing(writer) and self._write_lock.acquire(blocking=False):
            try:
                if _is_changing(writer):  # this thread's own transaction, since it holds the lock
                    with reported(self.file):
                        yield writer
                    return
            finally:
                self._write_lock.release()
        with self._read_lock, reported(self.file):
            self._check_identity()
            self._follow_frozen_file()
            connection = self._reader if self._reader is not None else self._open_reader()
            if connection.in_transaction:  # a nested read
                yield connection
                return
            with _transaction(connection, "BEGIN"):
                yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold a transaction, committed at the end or rolled back by an exception; nested calls join it."""
        with self._write_lock, reported(self.file):
            if self._writer is not None and self._writer.in_transaction:
                yield self._writer
                return
            self._check_identity()
            connection = self._writer if self._writer is not None else self._open_writer()
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    def _open_reader(self) -> sqlite3.Connection:
        self._check_open()
        self._frozen = None
        try:
            self._reader = self._connect("mode=ro", READ_SECONDS)
        except sqlite3.OperationalError as error:
            if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            if unmerged(self.file) and self.writable:  # a journal that a kill left: a writer undoes it
                self._connect("mode=rw", WRITE_SECONDS).close()
                self._reader = self._connect("mode=ro", READ_SECONDS)
                return self._reader
            self._reader = self._connect_frozen()
        return self._reader

    def _connect_frozen(self) -> sqlite3.Connection:
        # In a read-only folder SQLite cannot create the shared memory of its log. Without a log or journal the file
        # is complete and can be read by itself; with one, committed changes would be missed or seen in part.
        if unmerged(self.file):
            raise LibraryError(
                f"{self.file}: has changes that are not merged yet, and its folder is read-only; "
                "open the library once where the folder is writable"
            )
        self._frozen = self._look()
        return self._connect("mode=ro&immutable=1", READ_SECONDS)

    def _open_writer(self) -> sqlite3.Connection:
        self._check_open()
        if not self.writable:
            raise LibraryError(
                f"{self.file.parent}: is read-only, so the library can be searched but not changed; make the folder "
                "writable"
            )
        connection = self._connect("mode=rw", WRITE_SECONDS)
        try:
            schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._writer = connection
        return connection

    def _connect(self, parameters: str, patience: float) -> sqlite3.Connection:
        check_files(self.file)
        connection = sqlite3.connect(
            f"{self.file.absolute().as_uri()}?{parameters}",
            uri=True,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _harden(connection)
            # NORMAL with a write-ahead log: commits survive the end of the process; a power failure may undo the
            # last ones but never damages the file.
            for pragma in ("foreign_keys = ON", "synchronous = NORMAL"):
                connection.execute(f"PRAGMA {pragma}").fetchone()
            _check_format(connection, self.file)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self.file}: this library is closed; open it again")

    def _check_identity(self) -> None:
        """Raise if the file is no longer the one that was opened, since changes to a deleted file would be lost."""
        self._check_open()
        try:
            now = _identity(self.file)
        except OSError as error:
            why = f" ({explain_os_error(error)})" if not isinstance(error, FileNotFoundError) else ""
            raise LibraryNotFound(f"{self.file}: was deleted while in use{why}; open the library again") from error
        if now != self._identity:
            raise LibraryReplaced(f"{self.file}: was deleted and created again while in use; open the library again")

    def _look(self) -> tuple[int, int, bool]:
        status = self.file.stat()
        return status.st_mtime_ns, status.st_size, unmerged(self.file)

    def _follow_frozen_file(self) -> None:
        """Reopen a file that was opened as immutable but has been changed by another user."""
        if self._frozen is not None and self._frozen != self._look():
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            self._open_reader()


def create_database(file: Path, fill: dict[str, str]) -> None:
    """Create a store at `file` with `fill` as its metadata; the file appears complete or not at all."""
    unfinished = file.with_name(f"{file.name}.new")
    remove_files(unfinished)
    try:
        with reported(file):
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                schema.make_tables(connection)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", fill.items())
            unfinished.rename(file)  # only after closing, when SQLite has merged its log into the file
    finally:
        remove_files(unfinished)


def _harden(connection: sqlite3.Connection) -> None:
    """Treat the file as untrusted: execute nothing in it, and bound the memory it can claim."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL_BYTES)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    # Invalid UTF-8 is decoded with surrogates, so that the reader can name the row in its error.
    connection.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _check_format(connection: sqlite3.Connection, file: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != schema.APPLICATION_ID:
        raise LibraryDamaged(f"{file}: is not the store of a Kindred library; {REMEDY}")
    present = schema.format_of(connection)
    if present > schema.FORMAT:
        raise LibraryTooNew(
            f"{file}: has format {present}, this version of Kindred supports formats up to {schema.FORMAT}; "
            "upgrade it with git pull and pip install . in its clone"
        )
    if present < schema.OLDEST:
        raise LibraryError(
            f"{file}: has format {present} of an older version of Kindred; this version reads formats "
            f"{schema.OLDEST} to {schema.FORMAT}; index the images into a new library"
        )
    if fault := _fault(schema.objects_of(connection), schema.own_objects(present)):
        raise LibraryDamaged(f"{file}: is damaged (its {fault}); {REMEDY}")


def _fault(found: schema.Objects, own: schema.Objects) -> str:
    """Return which table, index or other object is missing, changed or not Kindred's; "" if none is."""
    by_name = [{(kind, name) for kind, name, _ in objects} for objects in (found, own)]
    # Tables first: a missing one lacks its indexes as well.
    odd = sorted((each[:2] for each in found ^ own), key=lambda each: (each[0] != "table", each))
    if not odd:
        return ""
    there, wanted = (odd[0] in names for names in by_name)
    state = ("changed" if wanted else "not Kindred's") if there else "missing"
    return f"{odd[0][0]} {odd[0][1]!r} is {state}"


def _is_changing(writer: sqlite3.Connection) -> bool:
    try:
        return writer.in_transaction
    except sqlite3.ProgrammingError:  # another thread has closed the library since
        return False


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error is the one to report
                connection.execute("ROLLBACK")


def _identity(file: Path) -> tuple[int, int]:
    facts = os.stat(file)  # noqa: PTH116 - at every read; a third of what Path.stat costs
    return facts.st_dev, facts.st_ino


def _watch_forks() -> None:
    """Register handlers so that forked children open connections of their own."""
    global _watching
    if not _watching and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold_all, after_in_parent=_let_all_go, after_in_child=_abandon_all)
        _watching = True


_watching = False


def _hold_all() -> None:
    """Acquire all locks before a fork: a lock held by another thread would stay locked forever in the child."""
    for database in list(_OPEN):
        for lock in database.locks:
            if lock.acquire(timeout=FORK_SECONDS):
                _HELD.append(lock)


def _let_all_go() -> None:
    while _HELD:
        _HELD.pop().release()


def _abandon_all() -> None:
    _HELD.clear()
    for database in list(_OPEN):
        database.abandon()
