"""Opening a file for others to read: never through a link that leaves the folders it may be in."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

__all__ = ["open_inside"]

_PLAIN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_BY_STEPS = os.open in os.supports_dir_fd and _NO_LINK != 0


def open_inside(path: Path, folders: Sequence[Path]) -> BufferedReader:
    """Open the regular file at an absolute path, which may only reach through links into one of `folders`.

    The real path is found first, and opened from the root without following a single link: what is exchanged for a link
    between the two steps is not opened. Raises OSError if the file is missing, is not a regular file, or lies
    elsewhere.
    """
    real = Path(os.path.realpath(path))
    if real != path and not any(real.is_relative_to(os.path.realpath(folder)) for folder in folders):
        raise PermissionError(errno.EPERM, "a link leads out of the folders of the library", os.fspath(path))
    handle = _by_steps(real) if _BY_STEPS else _checked(real)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _by_steps(real: Path) -> int:
    """Open a path one folder at a time, each without following a link."""
    folder = os.open(real.anchor, os.O_RDONLY | _FOLDER)
    try:
        for name in real.parts[1:-1]:
            inner = os.open(name, os.O_RDONLY | _FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(real.name, _PLAIN | _NO_LINK, dir_fd=folder)
    finally:
        os.close(folder)


def _checked(real: Path) -> int:
    """Open a path where folders cannot be opened, and check afterwards that it has not become a link."""
    handle = os.open(real, _PLAIN)
    if Path(os.path.realpath(real)) != real:
        os.close(handle)
        raise PermissionError(errno.EPERM, "was replaced by a link", os.fspath(real))
    return handle
