"""Descriptions: those of an indexing run that wait to be committed to a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kindred.describer import Description
from kindred.errors import ImageError, KindredError
from kindred.features import to_bytes
from kindred.library.index_report import IndexReport
from kindred.library.moves import Seen
from kindred.store import Entry, Store

__all__ = ["VANISHED", "Descriptions"]

COMMIT_IMAGES, COMMIT_SECONDS = 256, 2.0  # if the process is killed, at most this much is lost
VANISHED = "file vanished"
FEATURELESS = "no local features found"


class Descriptions:
    """The descriptions of one run: counted in `report`, and committed every two seconds.

    bits: of each component of local features. reasons: why files were skipped, by path. before_commit commits the
    changed facts of the scan, which come first.
    """

    def __init__(
        self,
        store: Store,
        report: IndexReport,
        *,
        bits: int,
        reasons: dict[Path, str],
        before_commit: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.store, self.report, self.bits, self.reasons = store, report, bits, reasons
        self.before_commit, self.on_progress = before_commit, on_progress
        self.buffer: list[Entry] = []
        self.committed = time.monotonic()

    def take(self, described: Description[Seen]) -> None:
        """Add one description to the buffer, and commit the buffer when it is due."""
        if described.vectors is not None and not len(described.vectors):
            described = Description(described.key, error=ImageError(described.key.path, FEATURELESS))
        seen, error = described.key, described.error
        if error is None:
            self.report.indexed += 1
            self.buffer.append(_entry(described, self.bits))
            if described.frames > 1:
                self.report.notes.append((seen.path, _frame_note(described.frame, described.frames)))
        else:
            self.report.skipped.append((seen.path, error.reason))
            self.reasons[seen.path] = error.reason
            if not self.is_temporary(seen, error):
                self.buffer.append(_entry(described, self.bits))
        if len(self.buffer) >= COMMIT_IMAGES or time.monotonic() - self.committed > COMMIT_SECONDS:
            self.commit()
        self.on_progress()

    def is_temporary(self, seen: Seen, error: ImageError) -> bool:
        """Return whether a failure is temporary, so that the stored description is kept until the next run.

        A vanished file may be back, unchanged; a permission, a disk or a package that fails now may work then.
        """
        if error.reason == VANISHED:
            return True
        if error.final:
            return False
        self.before_commit()  # the image may have been moved in this run
        known = self.store.lookup([seen.path]).get(seen.path)
        return known is not None and known.state == "indexed"

    def commit(self) -> None:
        """Store what was described since the last commit."""
        try:
            self.before_commit()
            self.put(self.buffer)
        except KindredError:
            # The disk is full: drop these rows, so that the last commit of the run does not fail on them again.
            # After an interrupt, they are left to that commit.
            self.buffer.clear()
            raise
        self.buffer.clear()
        self.committed = time.monotonic()

    def put(self, entries: list[Entry]) -> None:
        """Store entries, if there are any."""
        if entries:
            self.store.put(entries)


def _frame_note(frame: int, frames: int) -> str:
    return f"first of {frames} frames or pages" if not frame else f"frame or page {frame + 1} of {frames}"


def _entry(described: Description[Seen], bits: int) -> Entry:
    """Return what is stored of an image; `bits` of each component of its local features."""
    seen, found, error = described.key, described.key.found, described.error
    return Entry(
        seen.path,
        found.size,
        found.mtime_ns,
        described.width,
        described.height,
        described.taken,
        vectors=described.vectors,
        boxes=described.boxes,
        words=described.words,
        features=to_bytes(described.features, bits=bits) if described.features is not None else None,
        reason=error.reason if error is not None else None,
        final=error.final if error is not None else True,
        digest=seen.digest,
        device=found.device,
        inode=found.inode,
        volume=seen.volume,
        frames=described.frames,
        frame=described.frame,
        visual_words=described.visual_words,
    )
