"""The images of a run that needs no labels: all below some folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kindred.images import find_images

__all__ = ["find_training_images"]


def find_training_images(folders: Sequence[Path], exclude: Sequence[str]) -> dict[Path, str]:
    """Return the images below the folders, without excluded ones: path → folder's number and path below the folder."""
    found: dict[Path, str] = {}
    for number, folder in enumerate(folders):
        for image in find_images(folder):
            below = image.path.relative_to(folder)
            if image.reason is None and not any(below.match(pattern) for pattern in exclude):
                found.setdefault(image.path, f"{number}/{below}")
    return found
