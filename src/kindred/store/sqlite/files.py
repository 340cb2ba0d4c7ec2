"""The file of a store and the files that SQLite keeps beside it, checked before SQLite opens or replays any of them.

A library may come from others. A link in place of one of these files would lead outside, and a rollback journal may
name any file, which SQLite then deletes (the "super-journal" of a transaction over several databases, which Kindred
never makes).
"""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from kindred._support.files import check_plain, open_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import LibraryDamaged, LibraryError, LibraryNotFound
from kindred.store.sqlite.failures import REMEDY

__all__ = ["LOG", "check_files", "remove_files", "unmerged"]

MAGIC = b"SQLite format 3\0"
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""The bytes at the start of each part of a journal; it ends with them only if it names a super-journal."""
LOG, MEMORY, JOURNAL = "-wal", "-shm", "-journal"


def check_files(file: Path) -> None:
    """Raise if `file` is missing, unreadable, a link or not an SQLite file, or if a file beside it is foreign.

    Raises LibraryNotFound, LibraryError or LibraryDamaged.
    """
    try:
        check_plain(file)  # before opening: opening a pipe would wait for a writer
        with file.open("rb") as opened:
            header = opened.read(len(MAGIC))
    except (FileNotFoundError, ValueError):  # ValueError: no file can have this name
        raise LibraryNotFound.in_folder(file.parent) from None
    except OSError as error:
        if _is_there_and_odd(file):
            raise LibraryDamaged(f"{file}: is not a regular file ({explain_os_error(error)}); {REMEDY}") from error
        raise LibraryError(f"{file}: cannot be read ({explain_os_error(error)})") from error
    if header != MAGIC:  # including an empty file, which SQLite accepts
        raise LibraryDamaged(f"{file}: is not an SQLite file; {REMEDY}")
    for ending in (LOG, MEMORY, JOURNAL):
        _check_beside(file.with_name(f"{file.name}{ending}"))


def unmerged(file: Path) -> bool:
    """Return whether a log or journal beside `file` has changes that are not yet merged or rolled back."""
    return any(file.with_name(f"{file.name}{ending}").exists() for ending in (LOG, JOURNAL))


def remove_files(file: Path) -> None:
    """Remove an SQLite file with its log, journal and shared memory."""
    for ending in ("", LOG, MEMORY, JOURNAL):
        file.with_name(f"{file.name}{ending}").unlink(missing_ok=True)


def _check_beside(file: Path) -> None:
    with suppress(FileNotFoundError):  # another process may merge and remove it
        try:
            check_plain(file)
            if not file.name.endswith(JOURNAL) or not _names_another(file):
                return
            why = "it names a file to be deleted"
        except FileNotFoundError:
            raise
        except OSError as error:
            why = explain_os_error(error)
        raise LibraryDamaged(f"{file}: was not written by Kindred ({why}); remove it, or {REMEDY}")


def _names_another(journal: Path) -> bool:
    """Return whether a rollback journal names a super-journal, by its last bytes, as SQLite itself does."""
    with open_bounded(journal, 1 << 62) as opened:
        size = opened.seek(0, 2)
        opened.seek(max(0, size - len(JOURNAL_MAGIC)))
        return size > len(JOURNAL_MAGIC) and opened.read() == JOURNAL_MAGIC


def _is_there_and_odd(file: Path) -> bool:
    try:
        return not stat.S_ISREG(file.lstat().st_mode)
    except OSError:
        return False
