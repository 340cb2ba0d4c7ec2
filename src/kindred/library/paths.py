"""Paths: the names of images in a library, and which of their files are missing.

The path of an image is the real path of its folder and the name of the file: links to folders are resolved, so that an
image reached by a link and by its real path is one. A link to a file is an image of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kindred._support.files import is_folder
from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import UsageError
from kindred.hints import check_type
from kindred.store import Filter, Key, Store, is_uid

__all__ = ["Folders", "absolute", "is_gone", "is_missing", "keys_of", "located", "located_filter", "remote_roots"]


def absolute(path: Path | str) -> Path:
    """Return `path` as an absolute path, with `~` and `..` resolved and links unchanged.

    A remote address is absolute. Raises UsageError for anything else than a path.
    """
    check_type("a path", path, (str, os.PathLike), "text or a Path")
    if remote := remote_path(path):
        return remote
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links


def located(path: Path | str) -> Path:
    """Return `path` as stored in a library: absolute, with links to folders resolved."""
    plain = absolute(path)
    if isinstance(plain, RemotePath):
        return plain
    if is_folder(plain):
        return Path(os.path.realpath(plain))
    return Path(os.path.realpath(plain.parent)) / plain.name


def keys_of(images: Path | str | Iterable[Path | str]) -> list[Key]:
    """Return the keys under which the store knows images given by path or id, without repetitions.

    A `str` of 16 hexadecimal digits is an id. Raises UsageError for other types.
    """
    given = listed_paths(images)
    return list(dict.fromkeys(each if isinstance(each, str) and is_uid(each) else located(each) for each in given))


def listed_paths(images: object) -> list[Path | str]:
    """Return a list of paths; raises UsageError for anything else."""
    given = images if isinstance(images, Iterable) and not isinstance(images, str | Path | bytes) else [images]
    listed = []
    for each in given:
        if not isinstance(each, str | Path):
            raise UsageError(f"got {each!r:.100}; expected the path of an image, or its id")
        listed.append(each)
    return listed


def located_filter(where: Filter) -> Filter:
    """Return a filter whose folder is named as a library knows it."""
    if not isinstance(where, Filter):
        raise UsageError(f"where is {where!r:.100}; expected a Filter, such as Filter(where='price<20')")
    return where if where.folder is None else replace(where, folder=located(where.folder))


def remote_roots(store: Store) -> list[RemotePath]:
    """Return the remote addresses from which the library was indexed."""
    return [root.path for root in store.roots() if isinstance(root.path, RemotePath)]


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Folders:
    """The folders of a run: the real path and the device of each, looked up once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Path, int | None]] = {}

    def place(self, path: Path) -> tuple[Path, int | None]:
        """Return the stored path of a file and the device of its folder, None of a remote one."""
        if isinstance(path, RemotePath):
            return path, None
        known = self._known.get(path.parent)
        if known is None:
            real = os.path.realpath(path.parent)
            try:
                volume = os.stat(real).st_dev  # noqa: PTH116
            except OSError:
                volume = None
            known = self._known[path.parent] = (Path(real), volume)
        return known[0] / path.name, known[1]


def is_missing(path: Path) -> bool:
    """Return whether no file exists at `path`; if access is denied, it is not counted as missing.

    Nor is a remote file, since only a listing, at the next indexing of its folder, says so.
    """
    if isinstance(path, RemotePath):
        return False
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in _NOT_THERE
    except ValueError:
        return False
    return False


def is_gone(path: Path, volume: int | None) -> bool:
    """Return whether a file was moved or deleted, rather than unreachable because its disk is not mounted.

    volume: the device of its folder when it was last seen; None if unknown, then a missing file counts as gone. If a
    disk is not mounted, the nearest existing folder is on another device.
    """
    if not is_missing(path):
        return False
    if volume is None:
        return True
    for folder in path.parents:
        try:
            return os.stat(folder).st_dev == volume  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
    return False
