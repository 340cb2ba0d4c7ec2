"""Paths: what a library calls its images, and which of their files are gone.

An image is known by its real folder and its own name: links to folders are resolved, so that a folder that is reached
by a link and by its real path is one. A link to a file is a name of its own, and an image of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kindred._support.files import is_folder
from kindred.errors import UsageError
from kindred.store import Filter, Key, is_uid

__all__ = ["Folders", "absolute", "is_gone", "is_missing", "keys_of", "located", "located_filter"]


def absolute(path: Path | str) -> Path:
    """Return `path` absolute, `~` and `..` resolved, links left as they are."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links


def located(path: Path | str) -> Path:
    """Return `path` as a library knows it: absolute, with links resolved that lead to folders."""
    plain = absolute(path)
    if is_folder(plain):
        return Path(os.path.realpath(plain))
    return Path(os.path.realpath(plain.parent)) / plain.name


def keys_of(images: Path | str | Iterable[Path | str]) -> list[Key]:
    """Return what the store calls images that are given by path or by id, each once.

    A `str` of 16 hexadecimal digits is an id. Raises UsageError for what is neither.
    """
    given = [images] if isinstance(images, str | Path) else list(images)
    for each in given:
        if not isinstance(each, str | Path):
            raise UsageError(f"got {each!r}; expected the path of an image, or its id")
    return list(dict.fromkeys(each if isinstance(each, str) and is_uid(each) else located(each) for each in given))


def located_filter(where: Filter) -> Filter:
    """Return a filter whose folder is named as a library knows it."""
    return where if where.folder is None else replace(where, folder=located(where.folder))


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Folders:
    """The folders of a run: where each really is, and on which device, asked once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Path, int | None]] = {}

    def place(self, path: Path) -> tuple[Path, int | None]:
        """Return where a file is known, and the device of its folder."""
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
    """Whether there is no file at `path` now; one that cannot be asked, for want of rights, is not missing."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in _NOT_THERE
    except ValueError:
        return False
    return False


def is_gone(path: Path, volume: int | None) -> bool:
    """Whether a file was moved or deleted, rather than out of reach with the disk that it lies on.

    volume: the device of its folder when it was last seen. Where a disk is not mounted, the nearest folder that there
    still is lies on another device. None: not known, and a missing file counts as gone.
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
