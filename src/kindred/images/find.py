"""Find the image files under a folder, once each and always in the same order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kindred.errors import UsageError

__all__ = ["EXTENSIONS", "LIBRARY_MARK", "Found", "find_images"]

EXTENSIONS = frozenset(
    [
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
LIBRARY_MARK = "kindred.json"
HIDDEN_FOLDER = "inside a hidden folder"


@dataclass(frozen=True)
class Found:
    """A file with an image's extension, or a folder that cannot be read.

    `size` is in bytes and `mtime_ns` in nanoseconds; both are 0 where the file cannot be asked. `reason` is
    None for a file to be read, otherwise it says why the file is to be skipped without reading it.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    reason: str | None = None


def find_images(root: Path) -> Iterator[Found]:
    """Walk `root` and everything under it, sorted by name.

    Image files are told by their extension (`EXTENSIONS`, upper or lower case). Files in hidden folders are
    named with a reason, so that a person sees what was left out. A folder that holds `kindred.json` is a
    library and is not entered. Linked folders are followed after all the real ones, and no folder is entered
    twice, so a picture that can be reached both ways keeps its real path and a circle of links ends.

    Raises `UsageError` at once where `root` is no folder.
    """
    if not root.is_dir():
        problem = "is a file; give the folder that holds it" if root.exists() else "no such folder"
        raise UsageError(f"{root}: {problem}")
    return _Walk().run(root)


class _Walk:
    """One walk: which folders were entered, and which linked folders still wait."""

    def __init__(self) -> None:
        self.entered: set[tuple[int, int]] = set()
        self.linked: list[Path] = []

    def run(self, root: Path) -> Iterator[Found]:
        # DescribedQuery for by name, a folder is walked even where a library lives beside its pictures.
        yield from self.descend(self.entries(root, library_too=True))
        while self.linked:
            yield from self.descend(self.entries(self.linked.pop(0)))

    def descend(self, entries: list[os.DirEntry[str] | Found]) -> Iterator[Found]:
        """Everything below, depth first; with a stack of its own, as folders may nest deeper than calls."""
        stack = [(iter(entries), False)]
        while stack:
            level, hidden = stack[-1]
            entry = next(level, None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, Found):
                yield entry
            elif _is_folder(entry):
                below_hidden = hidden or entry.name.startswith(".")
                stack.append((iter(self.subfolder(entry, hidden=below_hidden)), below_hidden))
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:  # noqa: PTH122 - a path costs ten times this
                yield _found(entry, hidden=hidden)

    def subfolder(self, entry: os.DirEntry[str], *, hidden: bool) -> list[os.DirEntry[str] | Found]:
        if not entry.is_symlink():
            return self.entries(Path(entry.path))
        if not hidden:
            self.linked.append(Path(entry.path))
        return []

    def entries(self, folder: Path, *, library_too: bool = False) -> list[os.DirEntry[str] | Found]:
        """The sorted entries of a folder not entered before, or one report of why it cannot be read."""
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in self.entered:
                return []
            self.entered.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            return [Found(folder, reason=f"folder cannot be read: {_plain(error)}")]
        if not library_too and any(entry.name == LIBRARY_MARK for entry in entries):
            return []
        return list(entries)


def _found(entry: os.DirEntry[str], *, hidden: bool) -> Found:
    path = Path(entry.path)
    try:
        facts = entry.stat()
    except OSError as error:
        if entry.is_symlink():
            return Found(path, reason="broken link")
        vanished = isinstance(error, FileNotFoundError)
        return Found(path, reason="file vanished" if vanished else f"cannot be read: {_plain(error)}")
    reason = None
    if hidden:
        reason = HIDDEN_FOLDER
    elif entry.name.startswith("."):
        reason = "hidden file"
    elif not stat.S_ISREG(facts.st_mode):
        reason = "not a regular file"
    return Found(path, facts.st_size, facts.st_mtime_ns, reason)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _plain(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
