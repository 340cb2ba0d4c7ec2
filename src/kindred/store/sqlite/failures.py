"""Translation of SQLite's errors into those of Kindred."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kindred._support.os_errors import lack_of_room, obstacle
from kindred.errors import LibraryDamaged, LibraryError, LibraryFull, LibraryLocked

__all__ = ["REMEDY", "full", "primary_code", "reported"]

REMEDY = "restore it from a backup, or delete the library and index the images again"


@contextmanager
def reported(file: Path) -> Iterator[None]:
    """Translate errors of SQLite raised within the block."""
    try:
        yield
    except UnicodeDecodeError as error:
        # Raised by Python for an error message that quotes a damaged table, not for text in a cell.
        raise LibraryDamaged(f"{file}: is damaged (its table names are not valid text); {REMEDY}") from error
    except sqlite3.Error as error:
        raise _translated(error, file) from error


def full(folder: Path, lacks: str | None, *, so: str = "committed changes are safe") -> LibraryFull:
    """Return the error for a disk without room; `so`: what became of the library."""
    return LibraryFull(f"{folder}: {lacks or 'the disk is full'}; {so}; free some space and run again")


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's error code without the extended part; 0 for errors of the Python module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translated(error: sqlite3.Error, file: Path) -> Exception:
    """Return the Kindred error for `error`, or `error` itself if it can only be a bug in Kindred."""
    code = primary_code(error)
    missing_table = code == sqlite3.SQLITE_ERROR and "no such" in str(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT) or missing_table:
        return LibraryDamaged(f"{file}: is damaged ({error}); {REMEDY}")
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return LibraryDamaged(f"{file}: a value in it is larger than any that Kindred stores; {REMEDY}")
    # SQLite does not report that it cannot create its log, and some systems report a full disk as an I/O error.
    lacks = lack_of_room(file) if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL) else None
    if code == sqlite3.SQLITE_FULL or lacks:
        return full(file.parent, lacks)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryLocked(f"{file}: is locked by another program; close that program and try again")
    if code == sqlite3.SQLITE_IOERR:
        return LibraryError(f"{file}: reading or writing failed ({error}); check the disk, then try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return LibraryError(f"{file}: cannot be opened or changed ({obstacle(file) or error})")
    return error
