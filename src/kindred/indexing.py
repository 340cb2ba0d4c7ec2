"""Indexing: bring a catalogue in step with files on disk, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from kindred.catalogue import Catalogue, Entry
from kindred.describer import Described, Describer
from kindred.images import Found

__all__ = ["IndexProgress", "IndexReport", "index_images", "prune_folder"]

LOOKUP = 500  # files asked about at a time
COMMIT_IMAGES, COMMIT_SECONDS = 256, 2.0  # a kill loses at most so much
VANISHED = "file vanished"


@dataclass(frozen=True)
class IndexProgress:
    """Where a run stands: files looked at, images described, files skipped, in the seconds so far."""

    seen: int
    indexed: int
    skipped: int
    seconds: float


@dataclass
class IndexReport:
    """What a run did. `skipped` lists each file that could not be used, those of earlier runs included."""

    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Images described in each second of the run."""
        return self.indexed / self.seconds if self.seconds > 0 else 0.0


def index_images(
    catalogue: Catalogue,
    describer: Callable[[], Describer],
    files: Iterable[Found],
    *,
    progress: Callable[[IndexProgress], None] | None = None,
) -> IndexReport:
    """Describe each file that is new or changed and put it into `catalogue`, opened for writing.

    A file whose size and time are unchanged costs a look-up, and one that failed before is not tried again. Everything
    described is committed every two seconds and when the run is interrupted. `describer` is called only if there is
    something to describe. Raises `LibraryFull` where the disk is full; what was committed before stays.
    """
    return _Run(catalogue, progress or _silent).finish(describer, files)


def prune_folder(catalogue: Catalogue, folder: Path) -> int:
    """Remove from `catalogue` every image below `folder` whose file is gone; return how many."""
    gone = [path for path in catalogue.paths_under(folder) if not path.exists()]
    return catalogue.forget(gone) if gone else 0


class _Run:
    """One run: what it has seen, and what waits to be committed."""

    def __init__(self, catalogue: Catalogue, progress: Callable[[IndexProgress], None]) -> None:
        self.catalogue, self.progress = catalogue, progress
        self.report = IndexReport()
        self.buffer: list[Entry] = []
        self.began = self.committed = time.monotonic()

    def finish(self, describer: Callable[[], Describer], files: Iterable[Found]) -> IndexReport:
        number = self.catalogue.begin_run()
        changed = self.changed(files)
        try:
            first = next(changed, None)
            if first is not None:
                for described in describer().stream(chain((first,), changed)):
                    self.take(described)
        finally:
            self.commit()
            report = self.report
            report.seconds = time.monotonic() - self.began
            report.skipped.sort()
            self.catalogue.finish_run(
                number,
                found=report.found,
                indexed=report.indexed,
                unchanged=report.unchanged,
                skipped=len(report.skipped),
                removed=report.removed,
            )
        return report

    def changed(self, files: Iterable[Found]) -> Iterator[tuple[Found, Path]]:
        """Yield the files to be described; count the others."""
        report = self.report
        earlier = dict(self.catalogue.skipped())
        remaining = iter(files)
        while chunk := list(islice(remaining, LOOKUP)):
            known = self.catalogue.lookup(found.path for found in chunk if found.reason is None)
            for found in chunk:
                report.found += 1
                entry = known.get(found.path)
                if found.reason is not None:
                    report.skipped.append((found.path, found.reason))
                elif entry is None or (entry.size, entry.mtime_ns) != (found.size, found.mtime_ns):
                    yield found, found.path
                elif entry.state == "skipped":
                    report.skipped.append((found.path, earlier[found.path]))
                else:
                    report.unchanged += 1
            self.tell()

    def take(self, described: Described[Found]) -> None:
        """Put one answer into the buffer, and the buffer into the catalogue when it is time."""
        found = described.key
        entry = Entry(found.path, found.size, found.mtime_ns, described.width, described.height, described.taken)
        if described.error is None:
            assert described.vector is not None
            self.buffer.append(replace(entry, vectors=described.vector[None]))
            self.report.indexed += 1
        else:
            self.report.skipped.append((found.path, described.error.reason))
            # A file that went away is no bad image: it may be back, unchanged, at the next run.
            if described.error.reason != VANISHED:
                self.buffer.append(replace(entry, reason=described.error.reason))
        if len(self.buffer) >= COMMIT_IMAGES or time.monotonic() - self.committed > COMMIT_SECONDS:
            self.commit()
        self.tell()

    def commit(self) -> None:
        # Taken out first: where the disk is full the run ends, and its last commit must not fail on the same rows.
        waiting, self.buffer = self.buffer, []
        if waiting:
            self.catalogue.put(waiting)
        self.committed = time.monotonic()

    def tell(self) -> None:
        report = self.report
        seen = report.indexed + report.unchanged + len(report.skipped)
        self.progress(IndexProgress(seen, report.indexed, len(report.skipped), time.monotonic() - self.began))


def _silent(_: IndexProgress) -> None:
    """Ignore progress."""
