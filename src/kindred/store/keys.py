"""Keys: the stored form of paths and of images, and lists of values in parts; the same for every store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from kindred.errors import UsageError
from kindred.store.records import Key, is_uid

__all__ = [
    "CHUNK",
    "check_uids",
    "chunks",
    "folder_range",
    "keys_by_column",
    "moved_from",
    "numbered_pairs",
    "path_key",
    "path_taken",
]

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


def keys_by_column(images: Iterable[Key]) -> dict[str, dict[str | bytes, Key]]:
    """Return images by stored path ("path") and by public id ("uid"). Raises UsageError for other text."""
    given = list(dict.fromkeys(images))
    paths: dict[str | bytes, Key] = {path_key(each): each for each in given if isinstance(each, Path)}
    uids: dict[str | bytes, Key] = {each: each for each in given if isinstance(each, str)}
    if wrong := next((each for each in given if isinstance(each, str) and not is_uid(each)), None):
        raise UsageError(f"got {wrong!r}; expected the id of an image (16 hexadecimal digits) or a Path")
    return {"path": paths, "uid": uids}


def check_uids(uids: Iterable[str]) -> None:
    """Raise UsageError if one of the public ids is none."""
    if wrong := next((uid for uid in uids if not is_uid(uid)), None):
        raise UsageError(f"got {wrong!r}; expected the id of an image (16 hexadecimal digits)")


def moved_from(old: Path, new: Path) -> tuple[bytes, bytes]:
    """Return the stored forms of the paths of a move. Raises UsageError for the root folder and for equal paths."""
    source, target = path_key(old), path_key(new)
    if len(source) == 1:
        raise UsageError(f"move: {old} is the root folder; expected a folder or a file in it")
    if source == target:
        raise UsageError(f"move: {old} is given twice; expected the old and the new path")
    return source, target


def path_taken(path: bytes) -> UsageError:
    """Return the error for a move to the stored path of an image with other content."""
    where = os.fsdecode(path)
    return UsageError(f"move: the library has another image at {where}; remove it first, or index its folder")


def numbered_pairs(pairs: Iterable[tuple[Key, Key]], numbers: Mapping[Key, int]) -> list[tuple[int, int]]:
    """Return each pair of different known images once, by number, in ascending order."""
    known = {(numbers.get(one), numbers.get(other)) for one, other in pairs}
    return sorted({(min(one, other), max(one, other)) for one, other in known if one and other and one != other})
