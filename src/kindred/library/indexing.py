"""Indexing: bring a store in step with files on disk, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from kindred._support.os_errors import explain_os_error
from kindred.describer import Describer, Description
from kindred.errors import ImageError, KindredError
from kindred.features import to_bytes
from kindred.images import Found, LeftOut
from kindred.store import Entry, Run, Store

__all__ = ["IndexProgress", "IndexReport", "files_at", "index_images", "prune_folder"]

LOOKUP = 500  # files asked about at a time
COMMIT_IMAGES, COMMIT_SECONDS = 256, 2.0  # a kill loses at most so much
VANISHED = "file vanished"
FEATURELESS = "no local features found in it"


@dataclass(frozen=True)
class IndexProgress:
    """Where a run stands: files looked at, images described, files skipped, in the seconds so far."""

    seen: int
    indexed: int
    skipped: int
    seconds: float


@dataclass
class IndexReport:
    """What a run did. `skipped` lists each file that could not be used, those of earlier runs included.

    `left_out` counts what a walk passed by on purpose: other kinds of files, hidden ones, what a glob excludes.
    """

    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Images described in each second of the run."""
        return self.indexed / self.seconds if self.seconds > 0 else 0.0


def index_images(
    store: Store,
    describer: Describer,
    files: Iterable[Found],
    *,
    prune: Sequence[Path] = (),
    progress: Callable[[IndexProgress], None] | None = None,
) -> IndexReport:
    """Describe each file that is new or changed and put it into `store`.

    A file whose size and time are unchanged costs a look-up, and one that failed before is not tried again.
    Everything described is committed every two seconds and when the run is interrupted. In the end, images below
    the folders of `prune` whose files are gone are removed. Raises `LibraryFull` where the disk is full; what was
    committed before stays.
    """
    return _Run(store, progress or _silent).finish(describer, files, prune)


def files_at(paths: Iterable[Path]) -> Iterator[Found]:
    """Look at files named one by one, as `kindred.images.find_images` does at those of a folder."""
    for path in paths:
        try:
            facts = path.stat()
        except FileNotFoundError:
            yield Found(path, reason=VANISHED)
        except OSError as error:
            yield Found(path, reason=f"cannot be read: {explain_os_error(error)}")
        else:
            yield Found(path, facts.st_size, facts.st_mtime_ns)


def prune_folder(store: Store, folder: Path) -> int:
    """Remove from `store` every image below `folder` whose file is gone; return how many.

    A file that cannot be asked, as in a folder that may not be read, is not gone.
    """
    gone = [path for path in store.paths_under(folder) if _is_gone(path)]
    return store.forget(gone) if gone else 0


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


class _Run:
    """One run: what it has seen, and what waits to be committed."""

    def __init__(self, store: Store, progress: Callable[[IndexProgress], None]) -> None:
        self.store, self.progress = store, progress
        self.report = IndexReport()
        self.reasons = {skip.path: skip.reason for skip in store.skipped()}
        self.buffer: list[Entry] = []
        self.began = self.committed = time.monotonic()

    def finish(self, describer: Describer, files: Iterable[Found], prune: Sequence[Path]) -> IndexReport:
        number, report = self.store.begin_run(), self.report
        try:
            with closing(describer.stream(self.changed(files))) as answers:
                for described in answers:
                    self.take(described)
        finally:
            self.commit()
        report.removed = sum(prune_folder(self.store, root) for root in prune)
        report.skipped.sort()
        report.seconds = time.monotonic() - self.began
        # Not in `finally`: the record of a run that was cut off has no end.
        self.store.finish_run(
            number,
            Run(
                number,
                "",
                found=report.found,
                indexed=report.indexed,
                unchanged=report.unchanged,
                skipped=len(report.skipped),
                removed=report.removed,
            ),
        )
        return report

    def changed(self, files: Iterable[Found]) -> Iterator[tuple[Found, Path]]:
        """Yield the files to be described; count the others."""
        report, remaining = self.report, iter(files)
        while chunk := list(islice(remaining, LOOKUP)):
            known = self.store.lookup(found.path for found in chunk if found.reason is None)
            for found in chunk:
                report.found += 1
                entry = known.get(found.path)
                if found.reason is not None:
                    report.skipped.append((found.path, found.reason))
                elif entry is None or (entry.size, entry.mtime_ns) != (found.size, found.mtime_ns):
                    yield found, found.path
                elif entry.state == "skipped":
                    report.skipped.append((found.path, self.reasons[found.path]))
                else:
                    report.unchanged += 1
            self.tell()

    def take(self, described: Description[Found]) -> None:
        """Put one answer into the buffer, and the buffer into the store when it is time."""
        if described.vectors is not None and not len(described.vectors):
            described = Description(described.key, error=ImageError(described.key.path, FEATURELESS))
        found, error = described.key, described.error
        if error is None:
            self.report.indexed += 1
            self.buffer.append(_entry(described))
        else:
            self.report.skipped.append((found.path, error.reason))
            self.reasons[found.path] = error.reason
            # A file that went away is no bad image: it may be back, unchanged, at the next run.
            if error.reason != VANISHED:
                self.buffer.append(_entry(described))
        if len(self.buffer) >= COMMIT_IMAGES or time.monotonic() - self.committed > COMMIT_SECONDS:
            self.commit()
        self.tell()

    def commit(self) -> None:
        try:
            if self.buffer:
                self.store.put(self.buffer)
        except KindredError:
            # The disk is full, and the run ends with one more commit, which must not fail on the same rows.
            # An interrupt, though, leaves them to that commit.
            self.buffer.clear()
            raise
        self.buffer.clear()
        self.committed = time.monotonic()

    def tell(self) -> None:
        report = self.report
        seen = report.indexed + report.unchanged + len(report.skipped)
        seconds = time.monotonic() - self.began
        self.progress(IndexProgress(seen, report.indexed, len(report.skipped), seconds))


def _entry(described: Description[Found]) -> Entry:
    found, error = described.key, described.error
    return Entry(
        found.path,
        found.size,
        found.mtime_ns,
        described.width,
        described.height,
        described.taken,
        vectors=described.vectors,
        boxes=described.boxes,
        words=described.words,
        features=to_bytes(described.features) if described.features is not None else None,
        reason=error.reason if error is not None else None,
    )


def _silent(_: IndexProgress) -> None:
    """Ignore progress."""
