"""The files of images: opened by id, only where the library knows them, and of bounded size."""

from __future__ import annotations

import errno
import os
from io import BufferedReader
from pathlib import Path

from kindred._support.inside import open_inside
from kindred.library import ImageRecord
from kindred.server.folders import allowed_folders
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service.facts import UPLOADED

__all__ = ["MOST_BYTES", "content_of", "known_folders", "open_image", "record_of"]

MOST_BYTES = 600 << 20
"""The largest file that is read into memory to be decoded."""


def record_of(here: State, uid: str) -> ImageRecord:
    """Return the record of an image by id; raises a problem 404 for any other text."""
    row = here.library.store.by_uid([uid]) if len(uid) == 16 else {}
    if uid not in row:
        raise Problem(404, "the library has no image with this id")
    return here.library.get(uid)


def known_folders(here: State) -> tuple[Path, ...]:
    """Return the folders into which a link of an image may lead: the indexed ones, those allowed, and the uploads."""
    return (*allowed_folders(here), here.library.path / UPLOADED)


def open_image(here: State, image: ImageRecord) -> BufferedReader:
    """Open the file of an image; raises a problem 404 if it is missing or reached by a link that leads elsewhere."""
    try:
        return open_inside(image.path, known_folders(here))
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
