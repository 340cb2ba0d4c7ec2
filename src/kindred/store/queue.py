"""WorkQueue: the files that several processes describe together, and which of them a process has leased.

A file is waiting, or leased by a process. A process that does not renew its leases counts as lost: its files wait
again, and how many processes were lost with a file is counted, to find a file that ends whoever describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from kindred.store.records import Entry

__all__ = ["QueuedFile", "ScanState", "SharesWork", "WorkQueue"]


@dataclass(frozen=True)
class QueuedFile:
    """A file to be described: its stored path, size in bytes, time and so on, as in `Entry`.

    lost: how many processes were lost while they had it.
    """

    path: Path
    size: int
    mtime_ns: int
    device: int | None = None
    inode: int | None = None
    volume: int | None = None
    digest: bytes | None = None
    lost: int = 0


@dataclass(frozen=True)
class ScanState:
    """How far the search of some folders for files is.

    number: that of the search; it increases with each. finished: whether all files are in the queue. alive: whether the
    process that searches still renews its leases. found: files found so far.
    """

    number: int
    finished: bool
    alive: bool
    found: int


class WorkQueue(Protocol):
    """The queue of a library, as one process uses it; thread-safe."""

    def join(self, *, seconds: float) -> None:
        """Begin to take part, with leases that last `seconds`; `renew` must be called more often than that."""
        ...

    def renew(self) -> None:
        """Renew the leases of this process, and free the files of processes that were lost."""
        ...

    def leave(self) -> None:
        """Return what is leased, to be described by others; nothing counts as lost."""
        ...

    def begin_scan(self, key: bytes) -> bool:
        """Return whether this process is to search the folders named by `key`: no other one is doing it."""
        ...

    def end_scan(self, key: bytes) -> None:
        """Record that all files of the folders are in the queue."""
        ...

    def scan_state(self, key: bytes) -> ScanState:
        """Return how far the last search is."""
        ...

    def add(self, key: bytes, files: Sequence[QueuedFile], *, found: int) -> None:
        """Add files to be described, and the number of files found so far; one that waits already is added once."""
        ...

    def take(self, roots: Sequence[Path], limit: int) -> list[QueuedFile]:
        """Lease up to `limit` files that wait in `roots`; [] if there are none, or none that may share a batch."""
        ...

    def take_suspect(self, roots: Sequence[Path]) -> QueuedFile | None:
        """Lease one file that has to be described alone, as several processes were lost with it."""
        ...

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Return files that this process has leased, but for `paths`: an answer with some may have been lost."""
        ...

    def count(self, roots: Sequence[Path]) -> int:
        """Count the files in `roots` that wait or are leased."""
        ...

    def put(self, entries: Sequence[Entry], done: Sequence[QueuedFile]) -> None:
        """Store entries, as `Store.put`, and remove files from the queue, in one change."""
        ...


@runtime_checkable
class SharesWork(Protocol):
    """A store with a queue, by which several processes share the work of indexing."""

    def work_queue(self) -> WorkQueue:
        """Return the queue, for one process."""
        ...
