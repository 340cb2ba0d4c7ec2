"""Files: written so that they appear whole or not at all, read only where they are regular and of bounded size."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError

__all__ = ["open_bounded", "read_bounded", "replacing", "within", "write_whole"]

CHUNK = 1 << 22


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a path beside `file` to write to; what is there takes the place of `file` at the end.

    After an error nothing is left and `file` is as it was. Raises OSError where there is no room or right to write.
    """
    # Another writer of the same file, a process or a thread, has a part of its own.
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_whole(file: Path, what: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that a user asked for, by `replacing` it; `what` is what a message calls it.

    Raises UsageError where that is impossible.
    """
    try:
        with replacing(file) as part:
            write(part)
    except OSError as error:
        raise UsageError(
            f"{what} {file} cannot be written: {explain_os_error(error, file)}; give a file in a folder that can"
        ) from error


def open_bounded(path: Path | str, limit: int) -> BufferedReader:
    """Open a file that somebody else may have put there, for reading bytes.

    Raises OSError, with a reason in `strerror`, where it is missing or unreadable, where it is no regular file (a
    folder, a FIFO, a device, or a link to one: opening them may wait forever, reading them may never end), or where
    it has more than `limit` bytes.
    """
    place = os.fspath(path)
    try:
        _check_regular(Path(path).stat(), place, limit)  # first, for opening alone can do something to a device
        # Without waiting for a writer, should it have become a FIFO in between.
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
    """Read a file that somebody else may have put there; raises OSError as `open_bounded` does."""
    content = bytearray()
    with open_bounded(path, limit) as stream:
        while chunk := stream.read(CHUNK):  # not `limit` at once: that much memory would be taken first
            content += chunk
            if len(content) > limit:  # it grew, or is one of those that have no size of their own, as in /proc
                raise _too_large(os.fspath(path), limit)
    return bytes(content)


def within(folder: Path, name: str) -> Path:
    """Return the path of file `name` in `folder`; raises OSError where it would lie elsewhere, links followed.

    For names that come out of a file that somebody else may have written.
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
