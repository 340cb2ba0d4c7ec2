"""Files that are the same file, have the same bytes, or are of the same camera shot."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kindred._support.files import is_link
from kindred._support.remote_path import RemotePath

__all__ = ["ImageFile", "distinct", "same_bytes", "same_shot"]

ENDS = 4096
"""Bytes at both ends that are compared before whole files of the same size are."""
JPEGS = frozenset((".jfif", ".jpe", ".jpeg", ".jpg"))
RAW = "3fr arw cr2 cr3 crw dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
ORIGINALS = frozenset({".heic", ".heif"} | {f".{each}" for each in RAW.split(" ")})
"""The extensions of files that cameras write beside a JPEG of the same shot."""


@dataclass(frozen=True)
class ImageFile:
    """An image of a library. size: in bytes, None if the file is missing. device, inode: the identity of the file."""

    image_id: int
    path: Path
    size: int | None = None
    device: int = 0
    inode: int = 0


def distinct(images: Iterable[tuple[int, Path]]) -> tuple[list[ImageFile], dict[int, int]]:
    """Return each file of images (id, path) once, and for every id the representative id of its file.

    Symbolic and hard links to a file are not copies of it. The representative is the first path, in order of name, that
    is not a symbolic link. A missing file represents itself, and so does a remote one, whose size is None.
    """
    files: dict[tuple[int, int] | str, ImageFile] = {}
    representative: dict[int, int] = {}
    for image_id, path in sorted(images, key=lambda each: (is_link(each[1]), each[1])):
        found = ImageFile(image_id, path)
        with suppress(OSError):
            status = path.stat()
            found = ImageFile(image_id, path, status.st_size, status.st_dev, status.st_ino)
        # Some file systems have no inodes and report 0.
        real = str(path) if isinstance(path, RemotePath) else os.path.realpath(path)
        key = (found.device, found.inode) if found.inode else real
        representative[image_id] = files.setdefault(key, found).image_id
    return sorted(files.values(), key=lambda each: each.path), representative


def same_bytes(
    files: Iterable[ImageFile], *, progress: Callable[[int, int], None] | None = None
) -> list[list[ImageFile]]:
    """Return groups of at least two files with the same bytes; unreadable files are skipped.

    Only files of equal size are read, and completely only those whose ends agree. `progress` is called with the number
    of files compared and their total.
    """
    sizes = _grouped(files, lambda file: file.size if file.size else None)
    total, done = sum(map(len, sizes)), 0
    found = []
    for same_size in sizes:
        for same_ends in _grouped(same_size, _digest_of_ends):
            found += _grouped(same_ends, _digest)
        done += len(same_size)
        if progress is not None:
            progress(done, total)
    return found


def same_shot(files: Iterable[ImageFile]) -> list[list[ImageFile]]:
    """Return groups of files of one shot: a RAW or HEIC file and files of the same name in the same folder."""
    shots = _grouped(
        (file for file in files if file.path.suffix.lower() in JPEGS | ORIGINALS),
        lambda file: (file.path.parent, file.path.stem.lower()),
    )
    return [shot for shot in shots if any(file.path.suffix.lower() in ORIGINALS for file in shot)]


def _grouped(files: Iterable[ImageFile], key: Callable[[ImageFile], object]) -> list[list[ImageFile]]:
    """Return groups of at least two files with equal keys; unreadable files and those of key None are skipped."""
    found: dict[object, list[ImageFile]] = {}
    for file in files:
        with suppress(OSError):
            found.setdefault(key(file), []).append(file)
    found.pop(None, None)
    return [alike for alike in found.values() if len(alike) > 1]


def _digest_of_ends(file: ImageFile) -> bytes:
    with file.path.open("rb") as opened:
        head = opened.read(ENDS)
        opened.seek(max(0, (file.size or 0) - ENDS))
        return hashlib.sha256(head + opened.read(ENDS)).digest()


def _digest(file: ImageFile) -> bytes:
    with file.path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
