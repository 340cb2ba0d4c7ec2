"""Remote files: read whole, with a limit of size and repeated attempts, and only where the user allowed it.

They are reached through fsspec, whose packages (s3fs, gcsfs, adlfs) find credentials in their own ways: environment
variables, configuration files, the identity of the machine. A library names the addresses of its images, and whoever
made it may have chosen any; so no address is opened that the user has not named (`allow_remote`, `kindred --remote`,
the environment variable KINDRED_REMOTE).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import MissingExtra, RemoteError, UsageError
from kindred.images.found import Found
from kindred.images.remote_errors import explained, is_unreached, may_pass, status_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["allow_remote", "connect", "found_in", "is_allowed", "read_remote", "remote_file", "retried"]

VARIABLE = "KINDRED_REMOTE"
TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.2, 20.0
"""Seconds: the wait before a further attempt is a random part of one that doubles from the first to the longest."""
NOT_SATISFIABLE = 416  # a range of an empty object
ETAGS = ("ETag", "etag", "generation", "md5Hash")
"""What object stores call the version of an object in their listings."""

NOT_ALLOWED = "remote, and reading it was not allowed: name it, or a folder above it, with kindred --remote"

T = TypeVar("T")

_allowed: set[str] = set()
_open: dict[tuple[int, str, str], AbstractFileSystem] = {}
_answered: set[tuple[int, str, str]] = set()
_lock = threading.Lock()


def allow_remote(*addresses: Path | str) -> None:
    """Allow this process to read remote files: those at the given addresses, and below them.

    Raises UsageError for anything that is not the address of a folder or an object, such as s3://BUCKET/FOLDER.
    """
    for each in addresses:
        path = remote_path(each)
        if path is None:
            raise UsageError(f"{each}: is not a remote address; expected such as s3://BUCKET/FOLDER")
        _allowed.add(str(path))


def is_allowed(path: RemotePath) -> bool:
    """Return whether the user allowed reading this address, or one above it."""
    allowed = _allowed | {each.rstrip("/") for each in os.environ.get(VARIABLE, "").split()}
    return str(path) in allowed or any(str(each) in allowed for each in path.parents)


def read_remote(path: RemotePath, *, limit: int) -> bytes:
    """Return the content of a remote file of at most `limit` bytes, in one request.

    Raises RemoteError if reading is not allowed, if the file is larger or missing, or if the attempts failed.
    """
    system = connect(path)
    try:
        content = retried(path, lambda: system.cat_file(_within(system, path), start=0, end=limit + 1))
    except Exception as error:  # each package has its own
        if status_of(error) == NOT_SATISFIABLE:
            return b""
        raise explained(path, error) from error
    if not isinstance(content, bytes) or len(content) > limit:
        raise RemoteError(path, f"too large: more than {limit / 1e6:.0f} megabytes")
    return content


def remote_file(path: RemotePath) -> Found:
    """Return one remote file as a scan does. Raises RemoteError, as `read_remote`."""
    system = connect(path)
    try:
        info = retried(path, lambda: system.info(_within(system, path)))
    except Exception as error:
        raise explained(path, error) from error
    if info.get("type") == "directory":
        raise RemoteError(path, "is a folder", missing=True)
    return found_in(path, info)


def found_in(path: RemotePath, info: Mapping[str, object]) -> Found:
    """Return a file of a listing: its identity is its address, its size and its ETag, never a time.

    `inode` is the first 64 bits of the SHA-256 of the ETag. `digest` is that of size and ETag where an ETag is made
    from the content, so that copies and moved files are recognised: in S3, and in Google Cloud Storage by its MD5.
    """
    given = next((info[name] for name in ETAGS if info.get(name)), None)
    size, etag = info.get("size", info.get("Size")), str(given)
    if given is None or not isinstance(size, int) or size < 0:
        raise RemoteError(
            path, f"{path.scheme}:// lists no ETags, by which changed files are known; mount it, or copy it"
        )
    content = info.get("ETag") if path.scheme in ("s3", "s3a") else info.get("md5Hash")
    digest = sha256(f"{size} {content}".encode()).digest() if content else None
    inode = int.from_bytes(sha256(etag.encode()).digest()[:8], "big")
    return Found(path, size, _modified(info), inode=inode, digest=digest)


def connect(path: RemotePath) -> AbstractFileSystem:
    """Return fsspec's file system for an address, without a cache of listings.

    Raises RemoteError if reading is not allowed, UsageError for an unknown scheme, MissingExtra without its package.
    """
    if not is_allowed(path):
        raise RemoteError(path, NOT_ALLOWED)
    key = _key(path)
    with _lock:
        if key not in _open:
            _open[key] = _file_system(path)
        return _open[key]


def retried(path: RemotePath, attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns; after an error that may pass, wait a random time and try again, `TRIES` in all.

    An object store to which no connection can be made is only waited for if it has answered this process before:
    otherwise its address is probably wrong. Packages repeat such a request some times by themselves.
    """
    key = _key(path)
    for number in range(TRIES - 1):
        try:
            found = attempt()
        except Exception as error:
            if not may_pass(error) or (key not in _answered and is_unreached(error)):
                raise
        else:
            _answered.add(key)
            return found
        time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**number)))
    return attempt()


def _key(path: RemotePath) -> tuple[int, str, str]:
    return os.getpid(), path.scheme, path.parts[1]


def _file_system(path: RemotePath) -> AbstractFileSystem:
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra(f"{path.scheme}://", "s3") from error
    try:
        found: tuple[AbstractFileSystem, str] = url_to_fs(str(path), use_listings_cache=False)
    except ImportError as error:
        if path.scheme in ("s3", "s3a"):
            raise MissingExtra(f"{path.scheme}://", "s3") from error
        raise UsageError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    except ValueError as error:
        known = path.scheme in fsspec.available_protocols()
        why = " ".join(str(error).split())[:200] if known else f"fsspec {fsspec.__version__} has no {path.scheme}://"
        raise UsageError(f"{path}: {why}") from error
    except Exception as error:  # wrong credentials or configuration
        raise explained(path, error) from error
    return found[0]


def _within(system: AbstractFileSystem, path: RemotePath) -> str:
    return str(system._strip_protocol(str(path)))


def _modified(info: Mapping[str, object]) -> int:
    """Return the time of the last change in nanoseconds, of which only the day is shown; 0 if it is unknown."""
    for name in ("LastModified", "last_modified", "updated", "mtime"):
        value = info.get(name)
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            if isinstance(moment, datetime):
                return int(moment.timestamp()) * 10**9
    return 0
