"""Removals: images that were removed from the library, for as long as that can be undone.

A removal deletes no file. What it deletes from the library (ids, tags, metadata) is noted here, in memory, so that the
images can be added again as they were; their descriptors are computed anew.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kindred.library import Library
from kindred.library.paths import is_missing
from kindred.server.jobs import MOST_SKIPPED, Job, JobCancelled
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service.additions import RemovalForm, RemovalsForm, RemovedImagesForm, RestoredForm
from kindred.service.library import SkipForm
from kindred.store import Row, Value

__all__ = ["Removals"]

MOST_REMOVALS, MOST_IMAGES = 20, 200_000  # noted at a time
NAMED = 3
BATCH = 64  # images added again between two looks at whether to stop


@dataclass(frozen=True)
class _Removed:
    """What the library knew about an image beside its descriptors."""

    path: Path
    uid: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Value]

    @classmethod
    def of(cls, row: Row) -> _Removed:
        return cls(row.path, row.uid, row.tags, row.metadata)


@dataclass
class _Removal:
    """The images of one removal that have not been added again, and when it was."""

    images: list[_Removed]
    at: str


class Removals:
    """The removals of a library that can be undone; a part of the state of its server."""

    def __init__(self, here: State) -> None:
        self._library = here.library
        self._removals: dict[str, _Removal] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Forget all."""
        self._removals.clear()

    def remove(self, ids: Sequence[str]) -> RemovedImagesForm:
        """Remove images from the library, never from the disk, and note what undoes it."""
        known = self._library.store.by_uid(ids)
        count = self._library.remove(list(known))
        unknown = tuple(uid for uid in ids if uid not in known)
        noted = [_Removed.of(known[uid]) for uid in dict.fromkeys(ids) if uid in known]
        return RemovedImagesForm(count, unknown, self._note(noted))

    def form(self) -> RemovalsForm:
        """Return the removals, newest first."""
        with self._lock:
            found = list(self._removals.items())
        return RemovalsForm(
            tuple(
                RemovalForm(key, len(each.images), tuple(image.path.name for image in each.images[:NAMED]), each.at)
                for key, each in reversed(found)
            )
        )

    def undo(self, key: str) -> Callable[[Job], RestoredForm]:
        """Return the work of undoing a removal; raises a problem if it is not known any more."""
        with self._lock:
            removal = self._removals.get(key)
        if removal is None:
            raise Problem(404, "this removal cannot be undone any more", hint="add the images again from their folder")
        return lambda job: self._undone(key, removal, job)

    def _note(self, images: list[_Removed]) -> str | None:
        if not images or len(images) > MOST_IMAGES:
            return None
        key = secrets.token_hex(8)
        with self._lock:
            self._removals[key] = _Removal(images, datetime.now(UTC).isoformat(timespec="seconds"))
            while len(self._removals) > MOST_REMOVALS or self._images() > MOST_IMAGES:
                del self._removals[next(iter(self._removals))]
        return key

    def _images(self) -> int:
        return sum(len(each.images) for each in self._removals.values())

    def _undone(self, key: str, removal: _Removal, job: Job) -> RestoredForm:
        """Add the images of a removal again, some at a time; those that are done are no longer noted."""
        total, restored, missing = len(removal.images), 0, list[SkipForm]()
        job.begin("Adding images again", unit="images")
        while removal.images:
            if job.stopping:
                raise JobCancelled(RestoredForm(restored, tuple(missing[:MOST_SKIPPED])))
            some = removal.images[:BATCH]
            failed = _added_again(self._library, some)
            job.skip(failed.items())
            missing += [SkipForm(path, reason) for path, reason in failed.items()]
            restored += len(some) - len(failed)
            removal.images = removal.images[BATCH:]
            job.report(total - len(removal.images), total)
        with self._lock:
            self._removals.pop(key, None)
        return RestoredForm(restored, tuple(missing[:MOST_SKIPPED]))


def _added_again(library: Library, images: Sequence[_Removed]) -> dict[Path, str]:
    """Add images with their ids, tags and metadata; return those that could not be, with the reason."""
    failed = {image.path: "file is missing" for image in images if is_missing(image.path)}
    there = [image for image in images if image.path not in failed]
    failed |= dict(library.add([image.path for image in there]).skipped) if there else {}
    library.store.give_ids({image.path: image.uid for image in there if image.path not in failed})
    for image in there:
        if image.path in failed:
            continue
        with library.store.writing():
            library.tag(image.path, image.tags)
            if image.metadata:
                library.set_metadata(image.path, image.metadata)
    return failed
