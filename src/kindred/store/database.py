"""One SQLite connection to a store: how it is opened and shared, and how its errors become ours."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Literal

from kindred.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryLocked,
    LibraryNotFound,
    LibraryTooNew,
    UsageError,
)
from kindred.store import schema

__all__ = ["Database", "Mode", "create_database"]

Mode = Literal["read", "write"]

SQLITE_MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 30.0
"""Only recovery after a crash and a writer's checkpoint make anyone wait, and both are short."""
ROOM_BYTES = 1 << 20
"""With less than this free, an input/output error is taken for a full disk: some systems report it so."""
REMEDY = "restore it from a copy, or delete the library and index the images again"


class Database:
    """A connection with a lock around it: any thread may use it, one at a time.

    Raises LibraryNotFound, LibraryDamaged, LibraryTooNew or LibraryError where the file cannot be opened.
    """

    def __init__(self, file: Path, *, mode: Mode) -> None:
        self.file = file
        self.mode: Mode = mode
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        # Set while the file is open as immutable: what it looked like then.
        self._frozen: tuple[int, int, bool] | None = None
        _check_header(file)
        try:
            with self._reporting():
                self._check_format(self._open())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Hold one consistent view of the tables."""
        with self._lock, self._reporting():
            self._follow_frozen_file()
            with self._transaction("BEGIN") as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction: committed as a whole at the end, or undone by an exception."""
        if self.mode != "write":
            raise UsageError(f"{self.file}: opened for reading; open it with mode='write' to change it")
        with self._lock, self._reporting(), self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            raise UsageError(f"{self.file}: this library is closed; open it again")
        connection = self._connection
        connection.execute(begin)
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # the first error is the one to report
                    connection.execute("ROLLBACK")

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self.file) from error

    def _open(self) -> sqlite3.Connection:
        self._frozen = None
        if self.mode == "write":
            return self._connect("mode=rw")
        try:
            return self._connect("mode=ro")
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        # SQLite cannot make its log's shared memory in a folder that it may not write to. Without a log the
        # file is complete and can be read alone; with one, that would miss what was committed.
        if _log_of(self.file).exists():
            raise LibraryError(
                f"{self.file}: holds changes that were not yet merged, and its folder cannot be written to; "
                "open the library once where it can"
            )
        self._frozen = self._look()
        return self._connect("mode=ro&immutable=1")

    def _connect(self, parameters: str) -> sqlite3.Connection:
        self.close()
        self._connection = sqlite3.connect(
            f"{self.file.absolute().as_uri()}?{parameters}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        # NORMAL in a write-ahead log: a commit survives the end of the process; a power cut may undo the last
        # ones but never damages the file.
        for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "user_version"):
            self._connection.execute(f"PRAGMA {pragma}").fetchone()
        return self._connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != schema.APPLICATION_ID:
            raise LibraryDamaged(f"{self.file}: is not the store of a Kindred library; {REMEDY}")
        present = connection.execute("PRAGMA user_version").fetchone()[0]
        known = len(schema.MIGRATIONS)
        if present > known:
            raise LibraryTooNew(
                f"{self.file}: has format {present}, this version of Kindred knows formats up to {known}; "
                "update its clone with git pull, then pip install ."
            )
        if present < known and self.mode == "write":
            schema.migrate(connection, schema.MIGRATIONS)
        if connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone() is None:
            raise LibraryDamaged(f"{self.file}: its table meta is empty; {REMEDY}")

    @property
    def outdated(self) -> bool:
        """Whether the tables are of an older format; they can be only in read mode."""
        with self.read() as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0]) < len(schema.MIGRATIONS)

    def _look(self) -> tuple[int, int, bool]:
        status = self.file.stat()
        return status.st_mtime_ns, status.st_size, _log_of(self.file).exists()

    def _follow_frozen_file(self) -> None:
        """Open again where a file taken for immutable was changed after all, by someone who may."""
        if self._frozen is None:
            return
        try:
            changed = self._frozen != self._look()
        except OSError as error:
            raise LibraryNotFound(f"{self.file}: went away while it was in use ({error.strerror})") from error
        if changed:
            self._open()


def create_database(file: Path, fill: dict[str, str]) -> None:
    """Make a store at `file` with `fill` as its meta; it appears there complete or not at all."""
    unfinished = file.with_name(f"{file.name}.new")
    _remove(unfinished)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            schema.migrate(connection, schema.MIGRATIONS)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", fill.items())
        unfinished.rename(file)  # closed, so that SQLite has merged its log into the file
    except sqlite3.Error as error:
        raise _translated(error, file) from error
    finally:
        _remove(unfinished)


def _check_header(file: Path) -> None:
    """Raise where `file` is missing, unreadable or no SQLite file (SQLite takes an empty file for one)."""
    try:
        with file.open("rb") as opened:
            header = opened.read(len(SQLITE_MAGIC))
    except FileNotFoundError:
        raise LibraryNotFound(
            f"{file.parent}: no library there; make one with kindred index, or name its folder with --library"
        ) from None
    except OSError as error:
        raise LibraryError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    if header != SQLITE_MAGIC:
        raise LibraryDamaged(f"{file}: is not an SQLite file; {REMEDY}")


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _remove(file: Path) -> None:
    """Remove an SQLite file and what SQLite keeps beside it."""
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's error code without the detail in its upper bytes; 0 for errors of the Python module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translated(error: sqlite3.Error, file: Path) -> Exception:
    """Return what to raise for `error`: one of ours, or itself where it can only be a mistake in Kindred."""
    code = _primary_code(error)
    missing_table = code == sqlite3.SQLITE_ERROR and "no such" in str(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT) or missing_table:
        return LibraryDamaged(f"{file}: is damaged ({error}); {REMEDY}")
    no_room = code == sqlite3.SQLITE_IOERR and shutil.disk_usage(file.parent).free < ROOM_BYTES
    if code == sqlite3.SQLITE_FULL or no_room:
        return LibraryFull(
            f"{file.parent}: the disk is full; what was committed is safe: free some space and run again"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryLocked(f"{file}: another program holds it locked; close that program and try again")
    if code == sqlite3.SQLITE_IOERR:
        return LibraryError(f"{file}: reading or writing failed ({error}); check the disk, then try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        rights = "" if os.access(file.parent, os.W_OK) else ", its folder cannot be written to"
        return LibraryError(f"{file}: cannot be opened ({error}{rights}); check its permissions")
    return error
