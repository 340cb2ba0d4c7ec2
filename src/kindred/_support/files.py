"""Files: written atomically, and read only if they are regular and of bounded size."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError

__all__ = [
    "check_plain",
    "is_file",
    "is_folder",
    "is_link",
    "is_there",
    "open_bounded",
    "read_bounded",
    "replacing",
    "sync_folder",
    "within",
    "write_whole",
]

CHUNK = 1 << 22


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a temporary path beside `file` to write to, which replaces `file` on success.

    After an error the temporary file is removed and `file` is unchanged. Raises OSError if it cannot be written.
    """
    # Another process or thread that writes the same file uses another temporary name.
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_whole(file: Path, what: str, write: Callable[[Path], object]) -> None:
    """Write a file named by the user atomically, by `write`; `what` is its name in error messages.

    Raises UsageError if the file cannot be written.
    """
    try:
        with replacing(file) as part:
            write(part)
    except OSError as error:
        raise UsageError(
            f"{what} {file} cannot be written: {explain_os_error(error, file)}; give a file in a folder that can"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename durable after a power failure, on systems that can open a folder (Windows cannot)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_bounded(path: Path | str, limit: int) -> BufferedReader:
    """Open an untrusted file for reading bytes.

    Raises OSError, with the reason in `strerror`, if it is missing or unreadable, if it is not a regular file (a
    folder, a FIFO, a device, or a link to one: opening one may block, reading one may never end), or if it has more
    than `limit` bytes.
    """
    place = os.fspath(path)
    try:
        _check_regular(Path(path).stat(), place, limit)  # before opening, which may have side effects on a device
        # Non-blocking, in case it has become a FIFO since then.
        handle = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", place) from None
    try:
        _check_regular(os.fstat(handle), place, limit)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: Path | str, limit: int) -> bytes:
    """Read an untrusted file; raises OSError as `open_bounded` does."""
    with open_bounded(path, limit) as stream:
        # Its size, and not `limit`: as much memory as is asked for is taken first.
        content = stream.read(os.fstat(stream.fileno()).st_size + 1)
        while chunk := stream.read(CHUNK):  # it grew, or is one of those without a size of their own, as in /proc
            content += chunk
            if len(content) > limit:
                break
    if len(content) > limit:
        raise _too_large(os.fspath(path), limit)
    return content


def is_file(path: Path | str) -> bool:
    """Whether there is a file at `path`, as far as that can be found out.

    `Path.is_file`, `exists` and the like raise OSError where a folder may not be entered or a name is too long.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path | str) -> bool:
    """Whether there is a folder at `path`, as far as that can be found out."""
    return os.path.isdir(path)  # noqa: PTH112


def is_link(path: Path | str) -> bool:
    """Whether there is a symbolic link at `path`, as far as that can be found out."""
    return os.path.islink(path)  # noqa: PTH114


def is_there(path: Path | str) -> bool:
    """Whether there is anything at `path`, as far as that can be found out."""
    return os.path.exists(path)  # noqa: PTH110


def check_plain(path: Path) -> None:
    """Raise OSError where something else than a regular file is at `path`: a link, a folder, a pipe; nothing may be.

    For files of fixed name that are written in a folder of untrusted origin: a link would be followed.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a link, not a file of its own", os.fspath(path))
    _check_regular(found, os.fspath(path), sys.maxsize)


def within(folder: Path, name: str) -> Path:
    """Return the path of file `name` in `folder`; raises OSError if it lies elsewhere after following links.

    For names from an untrusted file.
    """
    try:
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve()) and path.resolve() != folder.resolve()
    except (ValueError, RuntimeError):  # a NUL in the name, links in a circle
        inside = False
    if not inside:
        raise OSError(errno.EPERM, f"the path leaves the folder {folder}", name)
    return path


def _check_regular(found: os.stat_result, place: str, limit: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", place)
    if found.st_size > limit:
        raise _too_large(place, limit)


def _too_large(place: str, limit: int) -> OSError:
    size = f"{limit / 1e9:g} GB" if limit >= 1e9 else f"{limit / 1e6:g} MB" if limit >= 1e6 else f"{limit:,} bytes"
    return OSError(errno.EFBIG, f"larger than the {size} that it may have", place)
