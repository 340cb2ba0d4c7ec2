"""Errors of the operating system explained in a few words each."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["explain_os_error", "lack_of_room", "obstacle"]

ROOM_BYTES = 1 << 20
"""With less than this free on a disk, an error without a reason is attributed to a full disk."""

_REASONS: dict[str, str] = {
    "ENOENT": "no such file or folder",
    "EACCES": "permission denied",
    "EPERM": "the operation is not permitted",
    "EROFS": "its file system is read-only",
    "ENAMETOOLONG": "its name is too long",
    "EIO": "the disk reports an input/output error",
    "EDQUOT": "the disk quota is used up",
    "EFBIG": "the file is too large for its file system",
    "EISDIR": "it is a folder",
    "ENOTDIR": "a part of its path is a file, not a folder",
    "EEXIST": "there is something of that name already",
    "ELOOP": "its links lead in a circle",
    "EMFILE": "this process has too many files open",
    "ENFILE": "this machine has too many files open",
    "ENOMEM": "the memory of this machine is used up",
    "EBUSY": "another program is using it",
    "ETXTBSY": "another program is using it",
    "EAGAIN": "another program is using it",
    "ENXIO": "there is no such device",
    "ENODEV": "there is no such device",
    "ESTALE": "its network share is gone",
    "ENOTCONN": "its network share is not connected",
    "EHOSTDOWN": "its network share is not reachable",
    "EHOSTUNREACH": "its network share is not reachable",
    "ETIMEDOUT": "its network share does not answer",
    "EXDEV": "it is on another file system",
    "EINVAL": "its file system does not accept that",
    "EILSEQ": "its file system does not accept that name",
}
"""By the names of errno, since not every system defines all of them."""
_BY_NUMBER = {getattr(errno, name): reason for name, reason in _REASONS.items() if hasattr(errno, name)}


def explain_os_error(error: OSError | ValueError, path: Path | str | None = None) -> str:
    """Return in a few words why the operating system refused, to follow a colon or stand in brackets.

    A reason that Kindred itself put into the error is used as it is. `path` is the file concerned, if the error does
    not name it; its file system is queried to distinguish a full disk from one without free inodes. A ValueError is
    one raised for an invalid path.
    """
    if isinstance(error, OSError):
        about = path if path is not None else error.filename
        if error.errno == errno.ENOSPC:
            return lack_of_room(about) or "the disk is full"
        plain = error.errno is None or error.strerror in (None, os.strerror(error.errno))
        if plain and error.errno in _BY_NUMBER:
            return _BY_NUMBER[error.errno]
        if error.strerror:
            return error.strerror[:1].lower() + error.strerror[1:]
    return " ".join(str(error).split()) or type(error).__name__


def lack_of_room(path: Path | str | None) -> str | None:
    """Return what the disk of `path` has run out of, bytes or inodes; None if it has room."""
    if path is None or not hasattr(os, "statvfs"):
        return None
    with suppress(OSError, ValueError, TypeError):
        place = next(each for each in (Path(path), *Path(path).absolute().parents) if each.exists())
        facts = os.statvfs(place)
        if facts.f_files and not facts.f_favail:
            return "its disk holds as many files as it can (no inodes left)"
        if facts.f_bavail * facts.f_frsize < ROOM_BYTES:
            return "the disk is full"
    return None


def obstacle(file: Path) -> str | None:
    """Return why an existing file cannot be opened for writing, None if no reason is found.

    For errors of libraries that do not report the reason.
    """
    if lacks := lack_of_room(file):
        return lacks
    for path in (file, file.parent):
        with suppress(OSError):
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                return "its file system is read-only"
        if not os.access(path, os.R_OK):
            return f"permission denied: {path} may not be read"
        if not os.access(path, os.W_OK):
            return f"permission denied: {path} may not be written to"
    return None
