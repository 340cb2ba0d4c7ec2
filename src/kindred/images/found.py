"""What a scan finds: image files, and counts of the files that it leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Found", "LeftOut"]

MOST_FOLDERS_NAMED = 100


@dataclass(frozen=True)
class Found:
    """An image file, or a folder that cannot be read.

    `size` is in bytes and `mtime_ns` in nanoseconds; both are 0 if the file cannot be read. `reason` is None for a file
    to be read, otherwise the reason to skip it unread. `device` and `inode` identify the file: two paths with equal
    values are hard links to the same file. A remote file has no device, and its `inode` is that of its version
    (`kindred.images.remote.found_in`). `digest`: of a remote file, if its content is known by the listing.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    reason: str | None = None
    device: int | None = None
    inode: int | None = None
    digest: bytes | None = None


@dataclass
class LeftOut:
    """Counts of the files and folders that a scan left out on purpose.

    files: the number of each kind (".mp4", "without extension", "by pattern", "raw beside its developed image").
    folders: the number of each kind ("by pattern", "machine-made"); named: the first of those folders.
    """

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    named: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether any file or folder was left out."""
        return bool(self.files or self.folders)

    def __str__(self) -> str:
        """Return a readable summary: "4 files: 2 .dng, 1 .mp4, 1 without extension; 1 folder: 1 machine-made"."""
        parts = []
        for what, kinds in (("file", self.files), ("folder", self.folders)):
            total = kinds.total()
            if total:
                each = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
                parts.append(f"{total:,} {what}{'s' if total > 1 else ''}: {each}")
        return "; ".join(parts)

    def folder(self, path: Path, kind: str) -> None:
        """Count a folder."""
        self.folders[kind] += 1
        if len(self.named) < MOST_FOLDERS_NAMED:
            self.named.append(path)
