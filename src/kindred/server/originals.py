"""The files of images, opened without following a link that leaves the folders that the library knows."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO

from kindred._support.files import open_bounded
from kindred.server.additions import FOLDER
from kindred.server.folders import allowed_folders
from kindred.server.state import State

__all__ = ["open_original"]

LARGEST = 1 << 40


def open_original(here: State, path: Path) -> IO[bytes]:
    """Open the file of an image for reading bytes.

    Raises OSError if it is missing or unreadable, if it is not a regular file, or if a link, of the file or of a folder
    above it, leads out of the folder of the image and out of all indexed folders.
    """
    real = Path(os.path.realpath(path))
    if real.parent != path.parent:
        known = (*allowed_folders(here), here.library.path / FOLDER)
        if not any(real.is_relative_to(os.path.realpath(folder)) for folder in known):
            raise PermissionError(errno.EACCES, "a link leads out of the folders of the library", real.name)
    return open_bounded(real, LARGEST)
