"""The files of images by path, for work on many images, where a file that cannot be read is noted and passed over."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

from kindred._support.inside import open_inside
from kindred.server.files import known_folders
from kindred.server.state import State

__all__ = ["open_original"]


def open_original(here: State, path: Path) -> BufferedReader:
    """Open the file of an image for reading bytes.

    Raises OSError if it is missing or unreadable, if it is not a regular file, or if a link leads out of the folders
    that the library knows.
    """
    return open_inside(path, known_folders(here))
