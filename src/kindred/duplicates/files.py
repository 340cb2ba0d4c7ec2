"""Which files are the same file, the same bytes, or one shot of a camera."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kindred._support.files import is_link

__all__ = ["ImageFile", "distinct", "same_bytes", "same_shot"]

ENDS = 4096
"""Bytes compared at both ends of two files of one size, before all of them are."""
JPEGS = frozenset((".jfif", ".jpe", ".jpeg", ".jpg"))
RAW = "3fr arw cr2 cr3 crw dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
ORIGINALS = frozenset({".heic", ".heif"} | {f".{each}" for each in RAW.split(" ")})
"""What cameras write beside a JPEG of the same shot."""


@dataclass(frozen=True)
class ImageFile:
    """An image of a library. size: bytes, None where the file is gone. device, inode: which file the path leads to."""

    image_id: int
    path: Path
    size: int | None = None
    device: int = 0
    inode: int = 0


def distinct(images: Iterable[tuple[int, Path]]) -> tuple[list[ImageFile], dict[int, int]]:
    """Look at the files of images (id, path): return each file once, and for every id the id that stands for its file.

    Symbolic and hard links lead to one file: whoever deletes one of them has not deleted a copy. The path that is no
    symbolic link stands for all, the first in order of name. A file that is gone stands for itself.
    """
    files: dict[tuple[int, int] | str, ImageFile] = {}
    stands_for: dict[int, int] = {}
    for image_id, path in sorted(images, key=lambda each: (is_link(each[1]), each[1])):
        found = ImageFile(image_id, path)
        with suppress(OSError):
            facts = path.stat()
            found = ImageFile(image_id, path, facts.st_size, facts.st_dev, facts.st_ino)
        # Some file systems have no inodes and say 0.
        key = (found.device, found.inode) if found.inode else os.path.realpath(path)
        stands_for[image_id] = files.setdefault(key, found).image_id
    return sorted(files.values(), key=lambda each: each.path), stands_for


def same_bytes(
    files: Iterable[ImageFile], *, progress: Callable[[int, int], None] | None = None
) -> list[list[ImageFile]]:
    """Return the files that are the same byte for byte, two at least in each group; unreadable ones are left out.

    Only files of one size are read, and whole only those whose ends agree. `progress` is called with files read and
    their number.
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
    """Return the files of one shot: in one folder, of one name, a RAW or HEIC file and what lies beside it."""
    shots = _grouped(
        (file for file in files if file.path.suffix.lower() in JPEGS | ORIGINALS),
        lambda file: (file.path.parent, file.path.stem.lower()),
    )
    return [shot for shot in shots if any(file.path.suffix.lower() in ORIGINALS for file in shot)]


def _grouped(files: Iterable[ImageFile], key: Callable[[ImageFile], object]) -> list[list[ImageFile]]:
    """Return the files whose keys agree, two at least; those whose key is None or cannot be read are left out."""
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
