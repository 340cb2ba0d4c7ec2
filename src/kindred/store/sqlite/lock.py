"""The lock that allows one indexing run at a time per library."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from kindred._support.files import check_plain, read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import LibraryError, LibraryLocked
from kindred.store.sqlite.failures import full

__all__ = ["RunLock"]

NAME = "index.lock"
HOLDER_BYTES = 20


class RunLock:
    """An exclusive lock on the folder of a store, acquired by the constructor.

    The operating system releases it when its process ends for whatever reason. The process id of the holder is written
    to a separate file, for the error message only: a process that tries to acquire the lock may empty the lock file
    itself (filelock before version 4 does).

    Raises LibraryLocked at once if another process holds it, LibraryFull if the disk has no room for its file, and
    LibraryError if the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock, Timeout  # here: a search takes no lock

        self._holder = folder / f"{NAME}.pid"
        # thread_local=False: a run may end in another thread than it began in.
        self._lock = FileLock(folder / NAME, timeout=0, thread_local=False)
        try:
            check_plain(folder / NAME)  # filelock empties it, and some versions follow a link
            self._lock.acquire()
        except Timeout:
            raise LibraryLocked(
                f"{folder}: {self._describe_holder()} is indexing into this library; wait for it or stop it"
            ) from None
        except OSError as error:
            why = explain_os_error(error, folder)
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.EINVAL):
                raise LibraryError(f"{folder / NAME}: cannot be used as a lock ({why}); remove it") from error
            if error.errno == errno.ENOSPC:
                raise full(folder, why) from error
            raise LibraryError(f"{folder}: cannot be written to ({why}); it can be searched, not changed") from error
        with suppress(OSError):  # optional; a full disk is reported by the commits
            self._holder.unlink(missing_ok=True)
            with self._holder.open("x", encoding="ascii") as stream:  # a link there is not followed
                stream.write(str(os.getpid()))

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._holder.unlink(missing_ok=True)
            self._lock.release()

    def _describe_holder(self) -> str:
        try:
            pid = int(read_bounded(self._holder, HOLDER_BYTES))
        except (OSError, ValueError):
            return "another process"
        return "this process" if pid == os.getpid() else f"process {pid}"
