"""Removals: images that were removed from the library, for as long as that can be undone.

A removal deletes no file. What it deletes from the library (ids, tags, metadata) is stored in its folder, so that the
images can be added again as they were, also after a restart; their descriptors are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kindred.library import Library
from kindred.library.paths import is_missing
from kindred.server.jobs import MOST_SKIPPED, Job, JobCancelled
from kindred.server.problems import Problem
from kindred.server.removal_files import RemovalFiles, Removed
from kindred.server.state import State
from kindred.service.additions import RemovalForm, RemovalsForm, RemovedImagesForm, RestoredForm
from kindred.service.library import SkipForm

__all__ = ["Removals"]

BATCH = 64  # images added again between two looks at whether to stop


class Removals:
    """The removals of a library that can be undone; a part of the state of its server."""

    def __init__(self, here: State) -> None:
        self._library = here.library
        self._files = RemovalFiles(here.library.path, here.library.store.meta.get("uuid", ""))

    def remove(self, ids: Sequence[str]) -> RemovedImagesForm:
        """Remove images from the library, never from the disk, and store what undoes it."""
        known = self._library.store.by_uid(ids)
        unknown = tuple(uid for uid in ids if uid not in known)
        removal = self._files.write([Removed.of(known[uid]) for uid in dict.fromkeys(ids) if uid in known])
        try:
            count = self._library.remove(list(known))
        except BaseException:
            if removal is not None:
                self._files.forget(removal)
            raise
        return RemovedImagesForm(count, unknown, removal)

    def form(self) -> RemovalsForm:
        """Return the removals, newest first."""
        return RemovalsForm(tuple(RemovalForm(each.id, each.images, each.names, each.at) for each in self._files.all()))

    def undo(self, key: str) -> Callable[[Job], RestoredForm]:
        """Return the work of undoing a removal; raises a problem if it is not stored any more."""
        images = self._files.images(key)
        if images is None:
            raise Problem(404, "this removal cannot be undone any more", hint="add the images again from their folder")
        return lambda job: self._undone(key, images, job)

    def _undone(self, key: str, images: Sequence[Removed], job: Job) -> RestoredForm:
        """Add the images of a removal again, some at a time; those that are done are no longer stored."""
        done, restored, missing = 0, 0, list[SkipForm]()
        job.begin("Adding images again", unit="images")
        try:
            while done < len(images):
                if job.stopping:
                    raise JobCancelled(RestoredForm(restored, tuple(missing[:MOST_SKIPPED])))
                some = images[done : done + BATCH]
                failed = _added_again(self._library, some)
                job.skip(failed.items())
                missing += [SkipForm(path, reason) for path, reason in failed.items()]
                restored += len(some) - len(failed)
                done += len(some)
                job.report(done, len(images))
        finally:
            self._files.reduce(key, images[done:])
        return RestoredForm(restored, tuple(missing[:MOST_SKIPPED]))


def _added_again(library: Library, images: Sequence[Removed]) -> dict[Path, str]:
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
