"""The journal of the jobs of a server: a file of the library, from which the next server knows what was interrupted."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred._support.files import is_link, read_bounded, replacing
from kindred.errors import KindredError
from kindred.service.form import json_text
from kindred.service.jobs import JobForm
from kindred.service.reading import read_form

if TYPE_CHECKING:
    from filelock import FileLock

    from kindred.library import Library

__all__ = ["MOST_ENTRIES", "Journal"]

LOG = logging.getLogger("kindred.server")

FILE, LOCK, VERSION = "jobs.json", "jobs.lock", 1
MOST_ENTRIES = 20
MOST_BYTES = 8 << 20
MOST_RESULT = 64 << 10
"""Bytes of the result of a job; a longer one is left out."""


class Journal:
    """The last jobs of a library, as they were last written. Of several servers of a library, the first one writes.

    `library` is its identifier: the journal of another one counts as empty.
    """

    def __init__(self, folder: Path, library: str) -> None:
        self._file, self._lock_file, self._library = folder / FILE, folder / LOCK, library
        self._lock: FileLock | None = None

    @classmethod
    def of(cls, library: Library) -> Self:
        """Return the journal of a library."""
        return cls(library.path, library.store.meta.get("uuid", ""))

    def read(self) -> list[JobForm] | None:
        """Return the jobs of earlier servers, oldest first; None while another one runs."""
        if not self._may_write():
            return None
        try:
            found = json.loads(read_bounded(self._file, MOST_BYTES))
            if (found["version"], found["library"]) != (VERSION, self._library):
                return []
            return [read_form(JobForm, each) for each in found["jobs"][-MOST_ENTRIES:]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError, KindredError) as error:
            LOG.info("the journal of jobs is invalid: %s", error)
            return []

    def write(self, jobs: Sequence[JobForm]) -> None:
        """Write the jobs, oldest first; a full disk or a library that cannot be written changes nothing."""
        if not self._may_write():
            return
        entries = [_bounded(each) for each in jobs[-MOST_ENTRIES:]]
        text = json_text({"version": VERSION, "library": self._library, "jobs": entries})
        with suppress(OSError), replacing(self._file) as part, part.open("xb") as stream:
            stream.write(text.encode())

    def close(self) -> None:
        """Let the next server read and write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _may_write(self) -> bool:
        """Return whether no other server of this library writes; from then on, none does."""
        from filelock import FileLock, Timeout  # loaded late: most starts have no jobs

        if self._lock is not None:
            return True
        if is_link(self._lock_file) or is_link(self._file):
            return False
        lock = FileLock(self._lock_file, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, OSError, NotImplementedError):
            return False
        self._lock = lock
        return True


def _bounded(job: JobForm) -> dict[str, object]:
    """Return a job as JSON, without the files that it skipped and without a long result."""
    entry: dict[str, object] = {**job.to_json(), "skipped_files": []}
    if len(json_text(entry["result"])) > MOST_RESULT:
        entry["result"] = None
    return entry
