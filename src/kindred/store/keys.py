"""Keys: the stored form of paths, and lists of values in parts; the same for every store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from kindred.errors import UsageError

__all__ = ["CHUNK", "chunks", "folder_range", "path_key"]

Item = TypeVar("Item")

CHUNK = 500
"""Values bound per statement: SQLite's lowest default limit is 999."""


def path_key(path: Path) -> bytes:
    """Return the stored form of `path`: the bytes of the file system."""
    if not path.is_absolute():
        raise UsageError(f"{path}: expected an absolute path; use path.absolute()")
    return os.fsencode(path)


def folder_range(folder: Path) -> tuple[bytes, bytes]:
    """Return the exclusive bounds of the stored paths of everything inside `folder`."""
    key = path_key(folder)
    separator = os.fsencode(os.sep)
    prefix = key if key.endswith(separator) else key + separator
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Split a sequence into parts of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
