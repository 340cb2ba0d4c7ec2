"""The maps of a served library, and the job that makes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.inside import open_inside
from kindred.atlas import Atlas, LibraryAtlas
from kindred.atlas.sheets import Thumbnails
from kindred.errors import ImageError
from kindred.images import decode
from kindred.server.caches import Caches
from kindred.server.files import MOST_BYTES
from kindred.server.jobs import Job
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service import AtlasForm
from kindred.service.facts import UPLOADED

__all__ = ["Maps", "map_job"]

SMALL, LARGE = 32, 128
"""Cells of the sheets that are made with a map, and of those made when they are first shown."""


class Maps(LibraryAtlas):
    """The maps of a server; a part of its state."""

    def __init__(self, state: State) -> None:
        caches = state.part(Caches)
        super().__init__(
            state.library, thumbnails=_thumbnails(state), read_only=bool(caches.others), sheets=caches.folder
        )

    def found(self, method: str | None, revision: str | None) -> Atlas:
        """Return the map by a method, or the newest one.

        revision: that of the map which a client has. Raises a problem if there is no map, or another revision.
        """
        atlas = self.get(method)
        if atlas is None:
            raise Problem(404, "no map has been made", hint="POST /map makes one")
        if revision not in (None, atlas.mapped.digest, atlas.digest):
            raise Problem(409, "the map has changed", title="Another revision", hint="GET /map gives the present one")
        return atlas


def _thumbnails(state: State) -> Thumbnails:
    """Return the function that reads images for sheets: only those that may be opened, of a bounded size."""

    def read(_: str, path: Path, longest: int) -> NDArray[np.uint8] | None:
        roots = state.library.store.roots()
        try:
            with open_inside(path, [*(root.path for root in roots), state.library.path / UPLOADED]) as file:
                if os.fstat(file.fileno()).st_size > MOST_BYTES:
                    return None
                return decode(file.read(MOST_BYTES + 1), longest=longest).pixels
        except (OSError, ValueError, ImageError):
            return None

    return read


def map_job(state: State, method: str, *, anew: bool) -> Callable[[Job], AtlasForm]:
    """Return the work of making or updating a map, and its small thumbnails, which are shown as they come."""
    maps = state.part(Maps)

    def work(job: Job) -> AtlasForm:
        def progress(done: int, total: int) -> None:
            job.check()
            job.report(done, total)

        job.begin("Placing images")
        maps.make(method, anew=anew, progress=progress)
        atlas = maps.get(method)
        if atlas is not None:
            job.begin("Making thumbnails")
            maps.make_sheets(atlas, SMALL, progress=progress)
        return AtlasForm.of(state.library, maps, method=method)

    return work
