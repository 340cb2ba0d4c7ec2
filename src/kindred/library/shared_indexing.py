"""Shared indexing: several processes, on any machines, describe the files of the same folders together.

One of them searches the folders and puts the files that are new or changed into the queue of the store. All of them
take files from it, until none is left. A process that dies loses its leases after a while, and another describes its
files. If processes are lost with the same files twice, these are described one at a time, and a file that ends two
processes by itself is recorded as skipped.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from kindred._support.retries import BATCH_TRIES, IMAGE_TRIES, LOST
from kindred.describer import Describer, Description, Executor
from kindred.errors import ImageError, KindredError, LibraryUnreachable, UsageError
from kindred.features import stored_bits
from kindred.images import Found
from kindred.library.index_report import IndexProgress, IndexReport, run_record
from kindred.library.moves import Seen
from kindred.library.pruning import Prune
from kindred.library.reading_ahead import local_executor
from kindred.library.scanning import Scan
from kindred.library.storing import Descriptions
from kindred.store import Entry, Place, QueuedFile, SharesWork, Store, WorkQueue
from kindred.store.keys import path_key
from kindred.store.queue import ScanState

__all__ = ["LEASE_SECONDS", "IndexRun", "index_shared", "shared_run"]

LEASE_SECONDS = 60.0
"""After this time without a sign of life, a process counts as lost."""
RENEWALS = 4  # in this time
BATCH = 64  # files leased at a time
ADD_FILES, ADD_SECONDS = 256, 1.0  # found files wait at most so long to be added
POLL_SECONDS = 1.0
COUNT_SECONDS, COUNT_SHARE = 2.0, 20  # the queue is counted so often, and for at most a twentieth of the time

log = logging.getLogger(__name__)


class IndexRun(Protocol):
    """Describes the files of folders and stores the result; see `kindred.library.indexing.index_images`."""

    def __call__(
        self,
        store: Store,
        describer: Describer,
        files: Iterable[Found],
        /,
        *,
        roots: Sequence[Path],
        prune: Prune,
        progress: Callable[[IndexProgress], None] | None,
        stop: Callable[[], bool] | None,
        executor: Executor | None,
    ) -> IndexReport:
        """Return the report."""
        ...


def shared_run(store: Store, place: Place, *, exclude: Sequence[str] = (), force: bool = False) -> IndexRun:
    """Return the run of one of several processes on a library; `exclude` is that of the scan of the folders.

    Raises UsageError for a library in a folder, and for `force`.
    """
    if not isinstance(store, SharesWork):
        raise UsageError(
            f"{place}: is indexed by one process at a time; expected a library on a server for a shared run"
        )
    if force:
        raise UsageError("force: each process of a shared run would describe every image again; leave out one of both")
    return partial(index_shared, queue=store.work_queue(), exclude=exclude)


def index_shared(
    store: Store,
    describer: Describer,
    files: Iterable[Found],
    *,
    queue: WorkQueue,
    roots: Sequence[Path],
    exclude: Sequence[str] = (),
    prune: Prune = "keep",
    progress: Callable[[IndexProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | None = None,
    lease: float = LEASE_SECONDS,
) -> IndexReport:
    """Describe files of `roots` together with other processes, until all of them are described.

    `files` are those of the folders without those that `exclude` matches; one of the processes that were given the same
    `roots`, `exclude` and `prune` searches them. The report counts what this process did;
    `progress` is that of all processes, but for its `indexed` and `skipped`. lease: seconds after which a silent
    process counts as lost. Otherwise as `kindred.library.indexing.index_images`.
    """
    key = hashlib.sha256(repr((sorted(map(path_key, roots)), sorted(exclude), prune)).encode()).digest()
    queue.join(seconds=lease)
    try:
        with _Renewal(queue, lease / RENEWALS):
            run = _SharedRun(store, queue, describer, roots, key, stop=stop, progress=progress)
            return run.finish(executor or local_executor(describer, roots), files, prune)
    finally:
        with suppress(LibraryUnreachable):  # then the leases expire
            queue.leave()


class _Renewal:
    """Renews the leases of this process on a thread, within the block."""

    def __init__(self, queue: WorkQueue, seconds: float) -> None:
        self.queue, self.seconds = queue, seconds
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.renew, name="kindred-leases", daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def renew(self) -> None:
        while not self.ended.wait(self.seconds):
            try:
                self.queue.renew()
            except KindredError as error:  # if it lasts, the next change of the library raises it
                log.warning("the leases of this process were not renewed: %s", error)


class _Scanner:
    """Searches the folders on a thread, and adds what is to be described to the queue."""

    def __init__(self, queue: WorkQueue, scan: Scan, key: bytes, files: Iterable[Found]) -> None:
        self.queue, self.scan, self.key = queue, scan, key
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(files,), name="kindred-scan", daemon=True)
        self.thread.start()

    def run(self, files: Iterable[Found]) -> None:
        try:
            waiting: list[QueuedFile] = []
            added = time.monotonic()
            for seen, _ in self.scan.to_describe(files):
                waiting.append(_queued(seen))
                if len(waiting) >= ADD_FILES or time.monotonic() - added > ADD_SECONDS:
                    self.add(waiting)
                    waiting, added = [], time.monotonic()
            self.add(waiting)
            self.scan.commit_stamps()
            if not self.scan.report.stopped:
                self.queue.end_scan(self.key)
        except BaseException as error:
            self.error = error

    def add(self, files: list[QueuedFile]) -> None:
        self.queue.add(self.key, files, found=self.scan.report.found)

    @property
    def busy(self) -> bool:
        """Whether the search goes on. Raises the error that has ended it."""
        if self.thread.is_alive():
            return True
        if self.error is not None:
            raise self.error
        return False


class _QueuedDescriptions(Descriptions):
    """Descriptions of files of the queue, which are removed from it as they are stored."""

    def __init__(self, queue: WorkQueue, store: Store, report: IndexReport, **options: object) -> None:
        super().__init__(store, report, **options)  # type: ignore[arg-type]
        self.queue = queue
        self.leased: dict[Path, QueuedFile] = {}
        self.done: list[QueuedFile] = []

    def take(self, described: Description[Seen]) -> None:
        """Add one description."""
        self.settle(described.key.path)
        super().take(described)

    def settle(self, path: Path) -> None:
        """Note that a file needs no description any more."""
        self.done.append(self.leased.pop(path))

    def put(self, entries: list[Entry]) -> None:
        """Store entries, and remove from the queue what was done."""
        if self.done:
            self.queue.put(entries, self.done)
            self.done = []


class _SharedRun:
    """One process of a shared run."""

    def __init__(
        self,
        store: Store,
        queue: WorkQueue,
        describer: Describer,
        roots: Sequence[Path],
        key: bytes,
        *,
        stop: Callable[[], bool] | None,
        progress: Callable[[IndexProgress], None] | None,
    ) -> None:
        self.store, self.queue, self.roots, self.key = store, queue, roots, key
        self.stop, self.progress = stop, progress
        self.ended = threading.Event()
        self.report, self.found = IndexReport(), IndexReport()
        self.scan = Scan(store, self.found, force=False, stop=lambda: self.ended.is_set(), on_progress=lambda: None)
        self.scanner: _Scanner | None = None
        self.first = ScanState(0, finished=False, alive=False, found=0)
        self.descriptions = _QueuedDescriptions(
            queue,
            store,
            self.report,
            bits=stored_bits(describer.recipe.stored_features),
            reasons=self.scan.reasons,
            before_commit=lambda: None,
            on_progress=self.report_progress,
        )
        self.began = time.monotonic()
        self.counted, self.pause, self.place = 0.0, COUNT_SECONDS, (0, 0)

    def finish(self, executor: Executor, files: Iterable[Found], prune: Prune) -> IndexReport:
        number, report = self.store.begin_run(), self.report
        self.begin_scan(files)
        self.first = self.queue.scan_state(self.key)
        try:
            self.describe_all(executor, files)
        finally:
            self.ended.set()
            self.descriptions.commit()
        if not report.stopped and self.scanner is not None:
            for root in self.roots:
                self.scan.prune(root, prune)
        self.add_scan()
        report.seconds = time.monotonic() - self.began
        if not report.stopped:
            self.store.finish_run(number, run_record(number, report))
        return report

    def begin_scan(self, files: Iterable[Found]) -> None:
        """Search the folders, unless another process does."""
        if self.queue.begin_scan(self.key):
            self.scanner = _Scanner(self.queue, self.scan, self.key, files)

    def describe_all(self, executor: Executor, files: Iterable[Found]) -> None:
        """Describe what is in the queue until nothing is left, by this process or another."""
        while not self.should_stop():
            self.describe(executor, self.batches())
            suspect = self.queue.take_suspect(self.roots)
            if suspect is not None:
                self.describe_alone(executor, suspect)
            elif self.is_done(files):
                return
            else:
                self.report_progress()
                self.ended.wait(POLL_SECONDS)

    def describe(self, executor: Executor, items: Iterator[tuple[Seen, Path]]) -> None:
        with closing(executor.describe(items)) as descriptions:
            for described in descriptions:
                self.descriptions.take(described)
                if self.should_stop():
                    break
        self.descriptions.commit()

    def describe_alone(self, executor: Executor, suspect: QueuedFile) -> None:
        """Describe a file with which several processes were lost; give it up if it was alone with the last two."""
        seen = self.lease(suspect)
        if suspect.lost < BATCH_TRIES + IMAGE_TRIES:
            self.describe(executor, iter([(seen, seen.path)]))
        else:
            self.descriptions.take(Description(seen, error=ImageError(seen.path, LOST)))
            self.descriptions.commit()

    def batches(self) -> Iterator[tuple[Seen, Path]]:
        """Yield files as long as some wait that have not been with several lost processes."""
        while not self.should_stop() and (files := self.queue.take(self.roots, BATCH)):
            known = self.store.lookup(file.path for file in files)
            for file in files:
                seen, before = self.lease(file), known.get(file.path)
                same = before is not None and before.state == "indexed" and before.digest == file.digest
                if same and file.digest is not None:
                    self.descriptions.settle(file.path)  # by a process that was too slow to renew its leases
                else:
                    yield seen, seen.path

    def lease(self, file: QueuedFile) -> Seen:
        self.descriptions.leased[file.path] = file
        found = Found(file.path, file.size, file.mtime_ns, None, file.device, file.inode)
        return Seen(found, file.path, file.volume, file.digest)

    def is_done(self, files: Iterable[Found]) -> bool:
        """Return whether all files of the folders were found and described since this process began."""
        if self.scanner is not None and self.scanner.busy:
            return False
        state = self.queue.scan_state(self.key)
        if not state.finished and state.number == self.first.number:
            if not state.alive:
                self.begin_scan(files)
            return False
        self.queue.keep_only(())
        return self.queue.count(self.roots) == 0

    def should_stop(self) -> bool:
        self.report.stopped = self.report.stopped or (self.stop is not None and self.stop())
        return self.report.stopped

    def add_scan(self) -> None:
        """Add what was found in the folders to the report; what another process found counts as found only."""
        report, found = self.report, self.found
        if self.scanner is None:
            report.found = self.queue.scan_state(self.key).found
        else:
            report.found, report.unchanged, report.moved = found.found, found.unchanged, found.moved
            report.missing, report.removed, report.held = found.missing, found.removed, found.held
            report.skipped += found.skipped
        report.skipped.sort()
        report.notes.sort()

    def report_progress(self) -> None:
        """Report how many of the files found so far wait no more; they are counted now and then."""
        if self.progress is None:
            return
        now = time.monotonic()
        if now - self.counted >= self.pause:
            found = max(self.queue.scan_state(self.key).found, self.found.found)
            waiting = self.queue.count(self.roots)
            self.place = max(0, found - waiting), found
            self.counted = time.monotonic()
            self.pause = max(COUNT_SECONDS, COUNT_SHARE * (self.counted - now))
        report, (seen, total) = self.report, self.place
        seconds = now - self.began
        self.progress(IndexProgress(seen, report.indexed, len(report.skipped), seconds, report.skipped, total))


def _queued(seen: Seen) -> QueuedFile:
    found = seen.found
    return QueuedFile(seen.path, found.size, found.mtime_ns, found.device, found.inode, seen.volume, seen.digest)
