"""The files of images: opened only where the library knows them, and of bounded size where they are decoded."""

from __future__ import annotations

import errno
import os
import tempfile
from io import BufferedReader
from pathlib import Path
from typing import cast

from kindred._support.inside import open_inside
from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import RemotePath
from kindred.errors import RemoteError
from kindred.images.remote import read_remote
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

    A remote file is read into a temporary one. Raises OSError if it is missing or unreadable, if it is not a regular
    file, or if a link leads out of the folders that the library knows.
    """
    if isinstance(path, RemotePath):
        return _downloaded(here, path)
    return open_inside(path, _known_folders(here))


def open_image(here: State, image: ImageRecord) -> BufferedReader:
    """Open the file of an image; raises a problem 404 if it is missing or reached by a link that leads elsewhere."""
    if isinstance(image.path, RemotePath):
        try:
            return open_original(here, image.path)
        except OSError as error:
            raise Problem(404, f"the file of this image cannot be read: {explain_os_error(error)}") from None
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


def _downloaded(here: State, path: RemotePath) -> BufferedReader:
    """Return a temporary file with the content of a remote one, and its time."""
    try:
        content = read_remote(path, limit=MOST_BYTES)
    except RemoteError as error:
        raise OSError(errno.EIO, error.reason, str(path)) from None
    file = cast(BufferedReader, tempfile.TemporaryFile())  # noqa: SIM115 - closed by whoever reads it
    try:
        file.write(content)  # type: ignore[arg-type, unused-ignore]
        file.seek(0)
        known = here.library.store.lookup([path]).get(path)
        if known is not None and os.utime in os.supports_fd:
            os.utime(file.fileno(), ns=(known.mtime_ns, known.mtime_ns))
    except BaseException:
        file.close()
        raise
    return file
