"""Files that belong to an image: the film of a Live Photo, a RAW file, a sidecar."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from kindred._support.files import is_file
from kindred._support.remote_path import RemotePath
from kindred.duplicates.files import ORIGINALS

__all__ = ["Companions"]

COMPANIONS = frozenset((".mov", ".mp4", ".xmp", ".aae", ".thm")) | ORIGINALS
"""Extensions of the files that cameras and editors write beside an image under its name."""


class Companions:
    """The files beside images that belong to them; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Mapping[str, list[str]]] = {}

    def of(self, image: Path) -> tuple[Path, ...]:
        """Return the files beside an image that belong to it: of the same name, with another extension (.mov or .MOV).

        They are the film of a Live Photo, a RAW file, and the sidecars of editors, also "photo.jpg.xmp". Whoever moves
        or removes the image should do the same to them. Those of a remote image are not looked for.
        """
        if isinstance(image, RemotePath):
            return ()
        if image.parent not in self._folders:
            self._folders[image.parent] = _listed(image.parent)
        beside = self._folders[image.parent]
        names = [name for stem in (image.stem, image.name) for name in beside.get(stem, ()) if name != image.name]
        return tuple(path for path in map(image.with_name, names) if is_file(path))


def _listed(folder: Path) -> Mapping[str, list[str]]:
    """Return the names in a folder that have an extension of `COMPANIONS`, by name without it, in order."""
    found: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are enough
            stem, ending = os.path.splitext(name)  # noqa: PTH122
            if ending.lower() in COMPANIONS:
                found.setdefault(stem, []).append(name)
    return found
