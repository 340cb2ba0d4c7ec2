"""Files that belong to an image: the film of a Live Photo, a RAW file, a sidecar."""

from __future__ import annotations

from pathlib import Path

from kindred._support.files import is_file
from kindred.duplicates.files import ORIGINALS

__all__ = ["companions"]

COMPANIONS = sorted({".mov", ".mp4", ".xmp", ".aae", ".thm"} | ORIGINALS)
"""Extensions of the files that cameras and editors write beside an image under its name."""


def companions(image: Path) -> tuple[Path, ...]:
    """Return the files beside an image that belong to it: of the same name, with another extension (.mov or .MOV).

    They are the film of a Live Photo, a RAW file, and the sidecars of editors, also "photo.jpg.xmp". Whoever moves or
    removes the image should do the same to them.
    """
    names = [f"{image.stem}{each}" for ending in COMPANIONS for each in (ending, ending.upper())]
    names += [f"{image.name}.xmp", f"{image.name}.XMP"]
    found = (image.with_name(name) for name in names if name != image.name)
    return tuple(path for path in found if is_file(path))
