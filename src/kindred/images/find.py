"""Find the image files under folders, each once and in a stable order, and count the files that are left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import UsageError
from kindred.hints import check_type
from kindred.images.file_rules import (
    DEVELOPED,
    EXTENSIONS,
    HIDDEN_FILE,
    HIDDEN_FOLDER,
    MACHINE_MADE,
    RAW_EXTENSIONS,
    FileRules,
    split_name,
)
from kindred.images.found import Found, LeftOut
from kindred.images.remote_scan import RemoteScan

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

LIBRARY_MARK = "kindred.json"
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

    A root may be a remote address (`kindred.images.remote_scan`): files have the same rules there, except that they are
    yielded in the order of the listing, and links do not exist.

    Raises `UsageError` at once for a root that is neither a folder nor a file, `RemoteError` if nothing can be listed
    at a remote one; later, if the listing fails or is empty.
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
        self.rules, self._remote = FileRules(exclude), dict[RemotePath, RemoteScan]()
        self.roots = tuple(map(self._checked, roots))
        self.left_out, self.unreadable = LeftOut(), list[Path]()

    def _checked(self, root: Path) -> Path:
        check_type("a folder", root, Path, "a Path")
        if remote := remote_path(root):
            self._remote[remote] = RemoteScan(remote, self.rules)
            return remote
        try:
            root.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise UsageError(
                f"{root}: no such file or folder; check its spelling, or whether its drive is connected"
            ) from None
        except OSError as error:
            raise UsageError(f"{root}: cannot be read ({explain_os_error(error)})") from error
        return root

    def __iter__(self) -> Iterator[Found]:
        """Start a new scan."""
        self.left_out, self.unreadable = LeftOut(), []
        return _Walk(self).run()

    @property
    def streamed(self) -> bool:
        """Whether a root is remote: counting its files first would list it twice."""
        return bool(self._remote)

    def remote(self, root: Path) -> RemoteScan | None:
        """Return the scan that lists a remote root, which may be that of a root above it; None of a local one."""
        if not isinstance(root, RemotePath):
            return None
        return next((self._remote[each] for each in (*reversed(root.parents), root) if each in self._remote), None)


class _Walk:
    """The state of one scan: the folders searched so far, and the linked folders still to be searched."""

    def __init__(self, scan: ImageScan) -> None:
        self.scan = scan
        local = (root for root in scan.roots if not isinstance(root, RemotePath))
        self.named = {os.path.abspath(root) for root in local if not root.is_dir()}  # noqa: PTH100
        self.entered: set[tuple[int, int]] = set()
        self.linked: list[Path] = []
        self.root = Path()

    def run(self) -> Iterator[Found]:
        for root in self.scan.roots:
            self.root = root
            if remote := self.scan.remote(root):
                if remote.root == root:
                    yield from remote.run(self.scan.left_out)
                continue
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
        names = (split_name(entry.name) for entry in entries)
        developed = {stem for stem, extension in names if extension in DEVELOPED}
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
        return self.scan.rules.folder_kind(entry.name, self.below(entry))

    def file_kind(self, entry: os.DirEntry[str], developed: set[str]) -> str | None:
        """Return why a file is left out, or None."""
        beside = split_name(entry.name)[0] in developed
        return self.scan.rules.file_kind(entry.name, self.below(entry), raw_beside=beside)

    def below(self, entry: os.DirEntry[str]) -> str:
        """Return the path of an entry below the root, or "" if no rule looks at it."""
        if not self.scan.rules.needs_paths:
            return ""
        return PurePosixPath(os.path.relpath(entry.path, self.root)).as_posix()


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
        reason = HIDDEN_FILE
    elif not stat.S_ISREG(status.st_mode):
        reason = "not a regular file"
    return Found(path, status.st_size, status.st_mtime_ns, reason, status.st_dev, status.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a cycle of links
        return False
