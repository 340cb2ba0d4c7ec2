"""What an indexing run reports: its progress while it runs, and a summary at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kindred.images import LeftOut
from kindred.store import Run

__all__ = ["IndexProgress", "IndexReport", "run_record"]


@dataclass(frozen=True)
class IndexProgress:
    """Progress of a run: files processed, images described, files skipped, and the seconds since the start.

    skipped_files: those skipped so far with the reasons, in order; a list that grows, to be read during the call.
    total: in a run that several processes share, the number of files found so far; `seen` then counts those of all.
    0 in other runs.
    """

    seen: int
    indexed: int
    skipped: int
    seconds: float
    skipped_files: Sequence[tuple[Path, str]] = ()
    total: int = 0


@dataclass
class IndexReport:
    """Summary of a run. `skipped` lists every file that could not be used, including those of earlier runs.

    moved: images whose files were moved or renamed; they were not described again. missing: images of the folders whose
    files do not exist. removed: images removed from the library. held: for each folder with images that
    `prune` "gone" did not remove, or would not, the reason. notes: remarks on single images, such as which frame was
    described. left_out: counts of files that were not considered: other file types, hidden files, files excluded by a
    pattern. stopped: whether the run ended early because it was asked to.
    """

    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    removed: int = 0
    held: list[str] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def images_per_second(self) -> float:
        """Images described per second of the run."""
        return self.indexed / self.seconds if self.seconds > 0 else 0.0


def run_record(number: int, report: IndexReport) -> Run:
    """Return the record of run `number` that the library stores."""
    return Run(
        number,
        "",
        found=report.found,
        indexed=report.indexed,
        unchanged=report.unchanged,
        skipped=len(report.skipped),
        removed=report.removed,
        moved=report.moved,
    )
