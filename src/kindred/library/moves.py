"""Moved files: files that have another path than at the last run, recognised by their digests.

A new file with the content of a known image that is no longer at its old path is that image: it keeps its id, vectors,
tags and metadata. Copies, where the old file still exists, are images of their own. Among several candidates, one with
the same file name is preferred, then the oldest; each is used once. If files swapped names, each image follows its
content.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kindred._support.digests import digest_of
from kindred._support.remote_path import RemotePath
from kindred.errors import KindredError, LibraryError, RemoteError
from kindred.images import Found
from kindred.images.remote import remote_file
from kindred.library.paths import is_gone, is_missing
from kindred.store import FileStamp, Known, Store

__all__ = ["Moves", "Seen", "stamp"]


@dataclass(frozen=True)
class Seen:
    """A file of this run: its stored path, size and time, the device of its folder, and its digest if it was needed."""

    found: Found
    path: Path
    volume: int | None
    digest: bytes | None = None


@dataclass
class Moves:
    """The known images that were found at other paths, as far as a run has proceeded.

    any_known: whether the store contained images when the run began; otherwise nothing can have moved.
    """

    store: Store
    any_known: bool
    claimed: set[int] = field(default_factory=set)
    _known: Mapping[bytes, Sequence[Known]] = field(default_factory=dict)
    _waiting: list[tuple[Seen, Known, Known]] = field(default_factory=list)

    def look_up(self, files: Iterable[Seen]) -> None:
        """Look up the images with the content of these files, for `source`: one query for all of them."""
        if self.any_known:
            self._known = self.store.by_digest(seen.digest for seen in files if seen.digest is not None)

    def source(self, seen: Seen) -> Known | None:
        """Return the image whose content is now at `seen` and no longer at its own path, or None.

        `seen` is one of the files that were looked up last.
        """
        known = () if seen.digest is None else self._known.get(seen.digest, ())
        free = [each for each in known if each.id not in self.claimed and each.path != seen.path and _left(each)]
        return min(free, key=lambda each: (each.path.name != seen.path.name, each.id), default=None)

    def wait(self, seen: Seen, own: Known, source: Known) -> None:
        """Postpone a file whose path belongs to image `own` and whose content to `source`.

        Files may have swapped names, or been renumbered; this is decided when all files have been seen.
        """
        self._waiting.append((seen, own, source))

    def settle(self) -> tuple[list[tuple[Seen, Known]], list[FileStamp]]:
        """Return the postponed files, each with its image, and new paths for the images that they replaced.

        An image whose content was not found, and whose path now belongs to another image, gets a similar unused path,
        and its file counts as missing. If the content is found again later, so is the image.
        """
        moved = [(seen, source) for seen, _, source in self._waiting]
        replaced = [own for _, own, _ in self._waiting if own.id not in self.claimed]
        self._waiting = []
        parked = [
            FileStamp(own.id, self._beside(own.path), own.size, own.mtime_ns, own.digest, volume=own.volume)
            for own in replaced
        ]
        return moved, parked

    def _beside(self, path: Path) -> Path:
        """Return a similar path that neither a file nor an image has."""
        for number in range(1, 10_000):
            name = path.with_name(f"{path.stem} (replaced{f' {number}' if number > 1 else ''}){path.suffix}")
            if (is_missing(name) or isinstance(name, RemotePath)) and not self.store.lookup([name]):
                return name
        raise LibraryError(f"{path}: 9,999 images with this name are missing; remove them with kindred index --prune")


def stamp(known: Known, seen: Seen) -> FileStamp:
    """Return the record that image `known` is now the file `seen`."""
    found = seen.found
    digest = seen.digest or known.digest
    return FileStamp(known.id, seen.path, found.size, found.mtime_ns, digest, found.device, found.inode, seen.volume)


def _left(known: Known) -> bool:
    """Return whether the content of an image is no longer at its path: the file is gone or has been replaced.

    Of a remote file, the object store is asked; if it may not be, or does not answer, the file has not left.
    """
    if isinstance(known.path, RemotePath):
        return _left_remote(known.path, known.inode)
    if is_missing(known.path):
        return is_gone(known.path, known.volume)
    try:
        facts = os.stat(known.path)  # noqa: PTH116
    except OSError:
        return False
    if (facts.st_size, facts.st_mtime_ns) == (known.size, known.mtime_ns):
        return False
    digest = digest_of(known.path)
    return digest is not None and digest != known.digest


def _left_remote(path: RemotePath, version: int | None) -> bool:
    try:
        return remote_file(path).inode != version
    except RemoteError as error:
        return error.missing
    except KindredError:  # the package of this object store is not installed
        return False
