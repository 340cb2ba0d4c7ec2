"""The files of images: opened only where the library knows them, and of bounded size where they are decoded."""

from __future__ import annotations

import errno
import os
from io import BufferedReader
from pathlib import Path

from kindred._support.inside import open_inside
from kindred.library import ImageRecord, editing
from kindred.server.folders import allowed_folders
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service.facts import UPLOADED

__all__ = ["MOST_BYTES", "content_of", "open_image", "open_original", "record_of"]

MOST_BYTES = 600 << 20
"""The largest file that is read into memory to be decoded."""


def record_of(here: State, uid: str) -> ImageRecord:
    """Return the record of an image by id; raises a problem 404 for any other text."""
    rows = here.library.store.by_uid([uid]) if len(uid) == 16 else {}
    if uid not in rows:
        raise Problem(404, "the library has no image with this id")
    return editing.record_of(rows[uid])


def _known_folders(here: State) -> tuple[Path, ...]:
    """Return the folders into which a link of an image may lead: the indexed ones, those allowed, and the uploads."""
    return (*allowed_folders(here), here.library.path / UPLOADED)


def open_original(here: State, path: Path) -> BufferedReader:
    """Open the file of an image, by path, for reading bytes.

    Raises OSError if it is missing or unreadable, if it is not a regular file, or if a link leads out of the folders
    that the library knows.
    """
    return open_inside(path, _known_folders(here))


def open_image(here: State, image: ImageRecord) -> BufferedReader:
    """Open the file of an image; raises a problem 404 if it is missing or reached by a link that leads elsewhere."""
    try:
        return open_original(here, image.path)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise Problem(404, "the file of this image cannot be read") from None
        raise Problem(404, "the file of this image is a link that leaves the folders of the library") from None
    except (OSError, ValueError):
        raise Problem(404, "the file of this image is missing") from None


def content_of(here: State, image: ImageRecord) -> bytes:
    """Return the content of the file of an image, to decode it."""
    with open_image(here, image) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise Problem(422, f"the file has more than {MOST_BYTES >> 20} MB", title="The image cannot be used")
        return file.read(MOST_BYTES + 1)
