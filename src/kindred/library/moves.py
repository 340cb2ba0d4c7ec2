"""Moves: files that lie elsewhere than at the last run, known by their digests.

A new file whose content is known, at a path where that content is no longer, is the image of before: it keeps its id,
vectors, tags and metadata. Copies, where the content is still at the known path too, are images of their own. Of
several candidates the one with the same name is taken, then the one known longest; each is taken once. Where names
were exchanged or shifted, each image goes with its content.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from kindred._support.digests import digest_of
from kindred.errors import LibraryError
from kindred.images import Found
from kindred.library.paths import is_gone, is_missing
from kindred.store import FileStamp, Known, Store

__all__ = ["Moves", "Seen", "stamp"]


@dataclass(frozen=True)
class Seen:
    """A file of this run: where it is known, what it looks like, and its digest where that was needed."""

    found: Found
    path: Path
    volume: int | None
    digest: bytes | None = None


@dataclass
class Moves:
    """Which known images lie elsewhere now, as far as a run has seen.

    any_known: whether the store held images when the run began; else there is nothing to find.
    """

    store: Store
    any_known: bool
    claimed: set[int] = field(default_factory=set)
    _waiting: list[tuple[Seen, Known, Known]] = field(default_factory=list)

    def source(self, seen: Seen) -> Known | None:
        """Return the image whose content lies at `seen` now, and no longer where it was; None where there is none."""
        if seen.digest is None or not self.any_known:
            return None
        known = self.store.by_digest([seen.digest]).get(seen.digest, [])
        free = [each for each in known if each.id not in self.claimed and each.path != seen.path and _left(each)]
        return min(free, key=lambda each: (each.path.name != seen.path.name, each.id), default=None)

    def wait(self, seen: Seen, own: Known, source: Known) -> None:
        """Put off a file whose path is that of image `own`, and whose content is that of `source`.

        Names may have been exchanged, or shifted by one: which it is shows when all files have been met.
        """
        self._waiting.append((seen, own, source))

    def settle(self) -> tuple[list[tuple[Seen, Known]], list[FileStamp]]:
        """Return the files that were put off, each with the image that it is, and what images they replaced.

        An image whose content is nowhere any more, and whose path is another's now, is known under a name beside it,
        as one whose file is missing: if its content comes back, so does the image.
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
        """Return a name that no file and no image has."""
        for number in range(1, 10_000):
            name = path.with_name(f"{path.stem} (replaced{f' {number}' if number > 1 else ''}){path.suffix}")
            if is_missing(name) and not self.store.lookup([name]):
                return name
        raise LibraryError(f"{path}: was replaced too often; kindred index --prune removes what is gone")


def stamp(known: Known, seen: Seen) -> FileStamp:
    """Return that image `known` is the file `seen`."""
    found = seen.found
    digest = seen.digest or known.digest
    return FileStamp(known.id, seen.path, found.size, found.mtime_ns, digest, found.device, found.inode, seen.volume)


def _left(known: Known) -> bool:
    """Whether the content of an image is no longer at its path: it is gone from there, or another file is there."""
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
