"""Find the image files under folders, each once and in a stable order, and count the files that are left out."""

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
from kindred.hints import check_type

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
"""The extensions of image files in a folder, in upper or lower case."""

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
"""The extensions of camera raw files; a JPEG, HEIC or TIFF of the same name in the folder is the same shot."""
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
    "*.photoslibrary",  # Apple Photos: originals, derivatives and thumbnails under internal names
    "*.photolibrary",
    "*.aplibrary",
    "*.migratedphotolibrary",
)
"""Folders of generated files, which are not searched unless one is given as a root."""

LIBRARY_MARK = "kindred.json"
HIDDEN_FOLDER = "inside a hidden folder"
MOST_FOLDERS_NAMED = 100


@dataclass(frozen=True)
class Found:
    """An image file, or a folder that cannot be read.

    `size` is in bytes and `mtime_ns` in nanoseconds; both are 0 if the file cannot be read. `reason` is None for a file
    to be read, otherwise the reason to skip it unread. `device` and `inode` identify the file: two paths with equal
    values are hard links to the same file.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    reason: str | None = None
    device: int | None = None
    inode: int | None = None


@dataclass
class LeftOut:
    """Counts of the files and folders that a scan left out on purpose.

    files: the number of each kind (".mp4", "without extension", "excluded", "raw beside its developed image").
    folders: the number of each kind ("excluded", "machine-made"); named: the first of those folders.
    """

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    named: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether any file or folder was left out."""
        return bool(self.files or self.folders)

    def __str__(self) -> str:
        """Return a readable summary: "4 files: 2 .dng, 1 .mp4, 1 without extension; 1 folder: machine-made"."""
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


EXCLUDED = "patterns of file names or paths, such as ['*.png', '2019/*']"


def find_images(roots: Path | Iterable[Path], *, exclude: Sequence[str] = ()) -> ImageScan:
    """Scan every folder in `roots` with its subfolders; a file in `roots` is found whatever its extension.

    In folders, image files are those with one of `EXTENSIONS`. Hidden files, and files in hidden folders, are yielded
    with a reason to skip them, so that the user is told. Left out, and counted: other files, `MACHINE_MADE` folders,
    macOS metadata files (._*), a raw file beside the developed image of the same shot, and paths that match a glob in
    `exclude`: of the name of a file or folder ("*.png", "drafts"), or, if it contains a slash, of the path below the
    root ("2019/*"). Matching ignores case, and * also matches slashes. A folder that contains `kindred.json` is a
    library and is not searched. A root is always searched, whatever its name. Symbolic links to folders are followed
    after all real folders, and no folder is searched twice, so that an image reachable both ways has its real path and
    cycles of links end.

    Raises `UsageError` at once for a root that is neither a folder nor a file.
    """
    check_type("exclude", exclude, Sequence, EXCLUDED)
    check_type("roots", roots, (Path, Iterable), "the Path of a folder, or several")
    return ImageScan([roots] if isinstance(roots, Path) else list(roots), exclude=exclude)


class ImageScan:
    """An iterable scan of folders, sorted by name, root by root. See `find_images`.

    After iteration, `left_out` counts the files left out, and `unreadable` lists the folders that could not be read.
    """

    def __init__(self, roots: Sequence[Path], *, exclude: Sequence[str] = ()) -> None:
        for pattern in exclude:
            check_type("exclude", pattern, str, EXCLUDED)
        for root in roots:
            check_type("a folder", root, Path, "a Path")
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
        """Start a new scan."""
        self.left_out, self.unreadable = LeftOut(), []
        return _Walk(self).run()


class _Walk:
    """The state of one scan: the folders searched so far, and the linked folders still to be searched."""

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
                yield _stat_file(root)
                continue
            # A root is searched even if it contains a library.
            yield from self.descend(self.entries(root, library_too=True))
            while self.linked:
                yield from self.descend(self.entries(self.linked.pop(0)))

    def descend(self, entries: list[os.DirEntry[str] | Found]) -> Iterator[Found]:
        """Yield all images below, depth first, with an explicit stack, as folders may nest deeper than recursion."""
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
                yield _stat_file(Path(entry.path), hidden=hidden)

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
        """Return the subfolders and images of a folder, sorted, or why it cannot be read; [] if seen before."""
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self.entered:
                return []
            self.entered.add((status.st_dev, status.st_ino))
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
        """Return whether an entry matches a glob in `exclude`."""
        if not self.scan.exclude:
            return False
        name = entry.name.casefold()
        below = PurePosixPath(os.path.relpath(entry.path, self.root)).as_posix().casefold()
        return any(fnmatchcase(below if "/" in pattern else name, pattern) for pattern in self.scan.exclude)


def _split(entry: os.DirEntry[str]) -> tuple[str, str]:
    """Return the stem and the extension of a name, in lower case."""
    stem, extension = os.path.splitext(entry.name)  # noqa: PTH122 - a path costs ten times this
    return stem.lower(), extension.lower()


def _stat_file(path: Path, *, hidden: bool | None = None) -> Found:
    """Return a file with its size and time; hidden: whether it is in a hidden folder, None for a root."""
    try:
        status = path.stat()
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
    elif not stat.S_ISREG(status.st_mode):
        reason = "not a regular file"
    return Found(path, status.st_size, status.st_mtime_ns, reason, status.st_dev, status.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a cycle of links
        return False
