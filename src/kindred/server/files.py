"""The files of images: opened by id, only where the library knows them, and of bounded size."""

from __future__ import annotations

import errno
import os
from io import BufferedReader
from pathlib import Path

from kindred._support.inside import open_inside
from kindred.library import ImageRecord
from kindred.server.problems import Problem
from kindred.server.state import State

__all__ = ["MOST_BYTES", "UPLOADED", "content_of", "open_image", "record_of"]

MOST_BYTES = 600 << 20
"""The largest file that is read into memory to be decoded."""

UPLOADED = "uploads"
"""The folder in a library with the files that were added by upload."""


def record_of(here: State, uid: str) -> ImageRecord:
    """Return the record of an image by id; raises a problem 404 for any other text."""
    row = here.library.store.by_uid([uid]) if len(uid) == 16 else {}
    if uid not in row:
        raise Problem(404, "the library has no image with this id")
    return here.library.get(uid)


def open_image(here: State, image: ImageRecord) -> BufferedReader:
    """Open the file of an image; raises a problem 404 if it is missing or reached by a link that leads elsewhere."""
    known = [root.path for root in here.library.store.roots()]
    try:
        return open_inside(image.path, [*known, here.library.path / UPLOADED])
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


def plain_name(path: Path) -> str:
    """Return the name of a file as text that can be part of a header."""
    return path.name.encode("utf-8", "replace").decode()
