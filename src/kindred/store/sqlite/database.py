"""The SQLite file of a store: how it is opened and shared, and how its errors become ours.

One connection reads, and another writes, opened at the first change. Readers never wait for a writer (write-ahead
log); writers, of this process and of others, take turns, a transaction each.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from weakref import WeakSet

from kindred._support.os_errors import explain_os_error
from kindred.errors import LibraryDamaged, LibraryError, LibraryNotFound, LibraryReplaced, LibraryTooNew, UsageError
from kindred.store.sqlite import schema
from kindred.store.sqlite.failures import REMEDY, primary_code, reported
from kindred.store.sqlite.files import check_files, remove_files, unmerged

__all__ = ["CELL_BYTES", "Database", "create_database"]

READ_SECONDS = 30.0
"""Only recovery after a crash and a writer's checkpoint make a reader wait, and both are short."""
WRITE_SECONDS = 10.0
"""A change waits so long for those of other processes; each holds the file for one transaction only."""
CELL_BYTES = 1 << 26
"""No text and no row is larger, whatever a file says: the local features of an image take some 100 kB."""

_ABANDONED: list[object] = []
"""What a forked child must neither use nor close: SQLite's connections belong to the process that opened them."""
_OPEN: WeakSet[Database] = WeakSet()
_HELD: list[RLock] = []
FORK_SECONDS = 2.0
"""A fork waits so long for each lock: a thread that holds one for longer may itself wait for the one that forks."""


class Database:
    """The connections to one file, with a lock around each: any thread may use it, one at a time.

    A forked child opens its own at its first use. Raises LibraryNotFound, LibraryDamaged, LibraryTooNew or
    LibraryError where the file cannot be opened; LibraryReplaced where it is another than the one that was opened.
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
        # Set while the file is open as immutable: what it looked like then.
        self._frozen: tuple[int, int, bool] | None = None

    @property
    def locks(self) -> tuple[RLock, RLock]:
        """The locks of writing and of reading, in the order in which they are taken."""
        return self._write_lock, self._read_lock

    def abandon(self) -> None:
        """Forget the connections without closing them, in a process that did not open them."""
        _ABANDONED.extend((self._reader, self._writer, self._read_lock, self._write_lock))
        self._forget_connections()

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        with self._write_lock, self._read_lock:
            self._closed = True
            # The writer last: the last to close merges the log into the file, and one that only reads may not.
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    @property
    def replaced(self) -> bool:
        """Whether the file is gone, or another than the one that was opened."""
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
        """Hold one consistent view of the tables; within a change of the same thread, with what it changed."""
        writer = self._writer
        if writer is not None and _is_changing(writer) and self._write_lock.acquire(blocking=False):
            try:
                if _is_changing(writer):  # it is this thread's own: nobody else could hold the lock meanwhile
                    with reported(self.file):
                        yield writer
                    return
            finally:
                self._write_lock.release()
        with self._read_lock, reported(self.file):
            self._check_identity()
            self._follow_frozen_file()
            connection = self._reader if self._reader is not None else self._open_reader()
            if connection.in_transaction:  # a question within another
                yield connection
                return
            with _transaction(connection, "BEGIN"):
                yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction: committed as a whole at the end, or undone by an exception; one within it joins it."""
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
        # SQLite cannot make its log's shared memory in a folder that it may not write to. Without a log or journal
        # the file is complete and can be read alone; with one, that would miss what was committed, or see half of it.
        if unmerged(self.file):
            raise LibraryError(
                f"{self.file}: holds changes that were not yet merged, and its folder cannot be written to; "
                "open the library once where it can"
            )
        self._frozen = self._look()
        return self._connect("mode=ro&immutable=1", READ_SECONDS)

    def _open_writer(self) -> sqlite3.Connection:
        self._check_open()
        if not self.writable:
            raise LibraryError(
                f"{self.file.parent}: cannot be written to; it can be searched, not changed: make the folder writable"
            )
        self._writer = self._connect("mode=rw", WRITE_SECONDS)
        return self._writer

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
            # NORMAL in a write-ahead log: a commit survives the end of the process; a power cut may undo the last
            # ones but never damages the file.
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
        """Raise where the file is no longer the one that was opened: what is written to a deleted file is lost."""
        self._check_open()
        try:
            now = _identity(self.file)
        except OSError as error:
            why = f" ({explain_os_error(error)})" if not isinstance(error, FileNotFoundError) else ""
            raise LibraryNotFound(f"{self.file}: went away while it was in use{why}; open the library again") from error
        if now != self._identity:
            raise LibraryReplaced(f"{self.file}: was deleted and made anew while it was in use; open the library again")

    def _look(self) -> tuple[int, int, bool]:
        status = self.file.stat()
        return status.st_mtime_ns, status.st_size, unmerged(self.file)

    def _follow_frozen_file(self) -> None:
        """Open again where a file taken for immutable was changed after all, by someone who may."""
        if self._frozen is not None and self._frozen != self._look():
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            self._open_reader()


def create_database(file: Path, fill: dict[str, str]) -> None:
    """Make a store at `file` with `fill` as its meta; it appears there complete or not at all."""
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
            unfinished.rename(file)  # closed, so that SQLite has merged its log into the file
    finally:
        remove_files(unfinished)


def _harden(connection: sqlite3.Connection) -> None:
    """Take the file for a stranger's: nothing in it is run, nothing in it decides how much memory is taken."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL_BYTES)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    # Text that is no UTF-8 comes out with surrogates, so that whoever reads it can name its row.
    connection.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _check_format(connection: sqlite3.Connection, file: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != schema.APPLICATION_ID:
        raise LibraryDamaged(f"{file}: is not the store of a Kindred library; {REMEDY}")
    present = connection.execute("PRAGMA user_version").fetchone()[0]
    if present > schema.FORMAT:
        raise LibraryTooNew(
            f"{file}: has format {present}, this version of Kindred knows formats up to {schema.FORMAT}; "
            "upgrade it with git pull and pip install . in its clone"
        )
    if present < schema.FORMAT:
        raise LibraryError(
            f"{file}: has format {present}, of an early version of Kindred, and this one reads format "
            f"{schema.FORMAT} only; index the images into another library"
        )
    if odd := sorted(schema.objects_of(connection) ^ schema.own_objects()):
        kind, name, _ = odd[0]
        raise LibraryDamaged(f"{file}: its {kind} {name!r} is missing, changed or not Kindred's; {REMEDY}")


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
    """Let children of this process open connections of their own."""
    global _watching
    if not _watching and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold_all, after_in_parent=_let_all_go, after_in_child=_abandon_all)
        _watching = True


_watching = False


def _hold_all() -> None:
    """Wait until no other thread is within SQLite: its own locks would stay locked for ever in the child."""
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
