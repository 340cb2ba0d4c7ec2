"""Find the image files under folders: each once, in the same order at every run, and what was left out counted."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError

__all__ = [
    "EXTENSIONS",
    "LIBRARY_MARK",
    "MACHINE_MADE",
    "RAW_EXTENSIONS",
    "Found",
    "ImageScan",
    "LeftOut",
    "find_images",
]

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
        ".jxl",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""Of the files in a folder, those with one of these are images, in upper or lower case."""

RAW_EXTENSIONS = frozenset(
    [
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".dng",
        ".erf",
        ".kdc",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srw",
        ".x3f",
    ]
)
"""Raw files of cameras: one with a JPEG, HEIC or TIFF of the same name beside it is the same shot."""
DEVELOPED = (".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".tif", ".tiff")

MACHINE_MADE = (
    "@eaDir",  # thumbnails of Synology
    "@Recycle",
    "@Recently-Snapshot",
    "#recycle",
    "#snapshot",
    ".Trash*",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
    "*.lrdata",  # previews of Lightroom
    "*.lrcat-data",
    "*.photoslibrary",  # of Apple Photos: originals, derivatives and thumbnails under names of its own
    "*.photolibrary",
    "*.aplibrary",
    "*.migratedphotolibrary",
)
"""Folders that programs make for themselves: a walk does not enter them unless one is named as its root."""

LIBRARY_MARK = "kindred.json"
HIDDEN_FOLDER = "inside a hidden folder"
MOST_FOLDERS_NAMED = 100


@dataclass(frozen=True)
class Found:
    """An image file, or a folder that cannot be read.

    `size` is in bytes and `mtime_ns` in nanoseconds; both are 0 where the file cannot be asked. `reason` is
    None for a file to be read, otherwise it says why the file is skipped without reading it. `device` and
    `inode` are those of the file: two paths with both the same are two names of one file.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    reason: str | None = None
    device: int | None = None
    inode: int | None = None


@dataclass
class LeftOut:
    """What a walk passed by on purpose.

    files: how many of each kind (".mp4", "without extension", "excluded", "raw beside its developed image").
    folders: how many of each kind ("excluded", "machine-made"); named: the first of those folders.
    """

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    named: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether anything was left out."""
        return bool(self.files or self.folders)

    def __str__(self) -> str:
        """Return it as people read it: "4 files: 2 .dng, 1 .mp4, 1 without extension; 1 folder: machine-made"."""
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


def find_images(roots: Path | Iterable[Path], *, exclude: Sequence[str] = ()) -> ImageScan:
    """Return a walk over every folder in `roots` and all below it; a file in `roots` is found whatever its name.

    In folders, image files are those with one of `EXTENSIONS`. Hidden ones, and those in hidden folders, are found
    with a reason to skip them, so that a person sees it. Left out, and counted: other files, `MACHINE_MADE` folders,
    what macOS writes beside files (._*), a raw file beside the developed image of the same shot, and what matches a
    glob of `exclude`: of the name of a file or folder ("*.png", "drafts"), or, with a slash in it, of the path below
    the root ("2019/*"). Case does not matter, and * also stands for slashes. A folder that holds `kindred.json` is a
    library and is not entered. A root is entered whatever it is called. Linked folders are followed after all the real
    ones, and no folder is entered twice, so an image that can be reached both ways keeps its real path and a circle of
    links ends.

    Raises `UsageError` at once for a root that is neither a folder nor a file.
    """
    return ImageScan([roots] if isinstance(roots, Path) else list(roots), exclude=exclude)


class ImageScan:
    """A walk over folders, to be iterated: sorted by name, root by root. See `find_images`.

    After it, `left_out` counts what was passed by, and `unreadable` lists the folders that could not be read.
    """

    def __init__(self, roots: Sequence[Path], *, exclude: Sequence[str] = ()) -> None:
        for root in roots:
            try:
                root.stat()
            except (FileNotFoundError, NotADirectoryError, ValueError):
                raise UsageError(
                    f"{root}: no such file or folder; check its spelling, or whether its drive is connected"
                ) from None
            except OSError as error:
                raise UsageError(f"{root}: cannot be read ({explain_os_error(error)})") from error
        self.roots, self.exclude = tuple(roots), tuple(pattern.casefold() for pattern in exclude)
        self.left_out, self.unreadable = LeftOut(), list[Path]()

    def __iter__(self) -> Iterator[Found]:
        """Walk from the start."""
        self.left_out, self.unreadable = LeftOut(), []
        return _Walk(self).run()


class _Walk:
    """One walk: which folders were entered, and which linked folders still wait."""

    def __init__(self, scan: ImageScan) -> None:
        self.scan = scan
        self.named = {os.path.abspath(root) for root in scan.roots if not root.is_dir()}  # noqa: PTH100
        self.entered: set[tuple[int, int]] = set()
        self.linked: list[Path] = []
        self.root = Path()

    def run(self) -> Iterator[Found]:
        for root in self.scan.roots:
            self.root = root
            if not root.is_dir():
                yield _look(root)
                continue
            # Named by the user, a folder is walked even where a library lies beside its images.
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
            elif os.path.abspath(entry.path) not in self.named:  # noqa: PTH100 - found as a root already, or later
                yield _look(Path(entry.path), hidden=hidden)

    def subfolder(self, entry: os.DirEntry[str], *, hidden: bool) -> list[os.DirEntry[str] | Found]:
        kind = self.folder_kind(entry)
        if kind is not None:
            self.scan.left_out.folder(Path(entry.path), kind)
            return []
        if not entry.is_symlink():
            return self.entries(Path(entry.path))
        if not hidden:
            self.linked.append(Path(entry.path))
        return []

    def entries(self, folder: Path, *, library_too: bool = False) -> list[os.DirEntry[str] | Found]:
        """The folders and images in a folder not entered before, sorted; or one report of why it cannot be read."""
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in self.entered:
                return []
            self.entered.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self.scan.unreadable.append(folder)
            return [Found(folder, reason=f"folder cannot be read: {explain_os_error(error)}")]
        if not library_too and any(entry.name == LIBRARY_MARK for entry in entries):
            return []
        developed = {stem for stem, extension in map(_split, entries) if extension in DEVELOPED}
        kept: list[os.DirEntry[str] | Found] = []
        for entry in entries:
            kind = None if _is_folder(entry) else self.file_kind(entry, developed)
            if kind is None:
                kept.append(entry)
            else:
                self.scan.left_out.files[kind] += 1
        return kept

    def folder_kind(self, entry: os.DirEntry[str]) -> str | None:
        """Return why a folder is left out, or None."""
        name = entry.name.casefold()
        if any(fnmatchcase(name, pattern.casefold()) for pattern in MACHINE_MADE):
            return "machine-made"
        return "excluded" if self.excluded(entry) else None

    def file_kind(self, entry: os.DirEntry[str], developed: set[str]) -> str | None:
        """Return why a file is left out, or None."""
        stem, extension = _split(entry)
        raw = extension in RAW_EXTENSIONS
        if extension not in EXTENSIONS and not raw:
            return extension if 1 < len(extension) <= 12 else "without extension"
        if entry.name.startswith("._"):
            return "of macOS"
        if raw and stem in developed:
            return "raw beside its developed image"
        return "excluded" if self.excluded(entry) else None

    def excluded(self, entry: os.DirEntry[str]) -> bool:
        """Return whether a glob of the user's leaves an entry out."""
        if not self.scan.exclude:
            return False
        name = entry.name.casefold()
        below = PurePosixPath(os.path.relpath(entry.path, self.root)).as_posix().casefold()
        return any(fnmatchcase(below if "/" in pattern else name, pattern) for pattern in self.scan.exclude)


def _split(entry: os.DirEntry[str]) -> tuple[str, str]:
    """Return the stem and the extension of a name, in lower case."""
    stem, extension = os.path.splitext(entry.name)  # noqa: PTH122 - a path costs ten times this
    return stem.lower(), extension.lower()


def _look(path: Path, *, hidden: bool | None = None) -> Found:
    """Ask about a file; hidden: whether it lies in a hidden folder, None for one that the user named."""
    try:
        facts = path.stat()
    except OSError as error:
        if path.is_symlink():
            return Found(path, reason="broken link")
        vanished = isinstance(error, FileNotFoundError)
        return Found(path, reason="file vanished" if vanished else f"cannot be read: {explain_os_error(error)}")
    reason = None
    if hidden:
        reason = HIDDEN_FOLDER
    elif hidden is not None and path.name.startswith("."):
        reason = "hidden file"
    elif not stat.S_ISREG(facts.st_mode):
        reason = "not a regular file"
    return Found(path, facts.st_size, facts.st_mtime_ns, reason, facts.st_dev, facts.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False
