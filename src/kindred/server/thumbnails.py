"""Thumbnails: WebP files of bounded total size in the folder of the caches, with strong ETags."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import PIL
from PIL import Image

from kindred._support.files import is_link, read_bounded, replacing
from kindred._support.remote_path import RemotePath
from kindred.errors import ImageError
from kindred.images import ImageLike, decode, resize
from kindred.images.formats import is_webp
from kindred.library import ImageRecord
from kindred.server.caches import Caches
from kindred.server.files import content_of
from kindred.server.problems import Problem
from kindred.server.state import State

__all__ = ["SIZES", "Thumbnails", "thumbnail_webp"]

LOG = logging.getLogger("kindred.server")

SIZES = (64, 128, 256, 512, 1600)
"""The longer sides of thumbnails, in pixels."""

FOLDER = "thumbnails"
QUALITY = 80
MOST_FILE = 8 << 20
USED_AGAIN = 86_400.0
"""Seconds after which the time of last use of a thumbnail is written again."""
ROOM = 0.9
"""The share of the limit to which the thumbnails are reduced once they exceed it."""


class Thumbnails:
    """The thumbnails of the images of one library, made when they are first asked for."""

    def __init__(self, state: State) -> None:
        self._state, self._limit = state, state.settings.thumbnail_bytes
        caches = state.part(Caches)
        self._folder = caches.folder / FOLDER
        self._others = [folder / FOLDER for folder in caches.others]
        self._lock = threading.Lock()
        self._bytes: int | None = None
        self.made = self.found = 0

    def close(self) -> None:
        """Do nothing: the files remain."""

    def tag_of(self, image: ImageRecord, size: int) -> str:
        """Return the strong ETag of a thumbnail, which changes with the file; reads no more than its time and size,
        and of a remote one nothing.

        Raises a problem 404 if the file is missing.
        """
        known = f"{image.id} {self._version(image)} {image.frame} {size} {QUALITY} {PIL.__version__}"
        return f'"{hashlib.sha256(known.encode()).hexdigest()[:32]}"'

    def _version(self, image: ImageRecord) -> str:
        """Return the size and time of a file; of a remote one, the size and the version that were indexed."""
        if isinstance(image.path, RemotePath):
            known = self._state.library.store.lookup([image.path]).get(image.path)
            if known is not None:
                return f"{known.size} {known.inode}"
        try:
            facts = image.path.stat()
        except (OSError, ValueError):
            raise Problem(404, "the file of this image is missing") from None
        return f"{facts.st_size} {facts.st_mtime_ns}"

    def stored(self, tag: str) -> bytes | None:
        """Return the thumbnail with this tag if there is a file of it."""
        for folder in (self._folder, *self._others):
            content = _read(folder, tag, touch=folder == self._folder)
            if content is not None:
                self.found += 1
                return content
        return None

    def make(self, image: ImageRecord, size: int, tag: str) -> bytes:
        """Decode an image and return its thumbnail, stored if there is room. Raises ImageError or a problem."""
        content = thumbnail_webp(content_of(self._state, image), size, most=self._state.settings.upload_pixels * 2)
        self.made += 1
        self._store(tag, content)
        return content

    def _store(self, tag: str, content: bytes) -> None:
        if is_link(self._folder) or self._limit < len(content):
            return
        file = _file(self._folder, tag)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if is_link(file.parent):
                return
            with replacing(file) as part:
                part.write_bytes(content)
        except OSError as error:  # a full disk: thumbnails are then made again each time
            LOG.debug("a thumbnail cannot be stored: %s", error)
            return
        with self._lock:
            self._bytes = len(content) + (self._total() if self._bytes is None else self._bytes)
            if self._bytes > self._limit:
                self._bytes = self._reduce(int(self._limit * ROOM))

    def _total(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _reduce(self, most: int) -> int:
        """Delete the thumbnails that were not used for longest, until the others have at most `most` bytes."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, file in files:
            if total <= most:
                break
            with suppress(OSError):
                file.unlink()
                total -= size
        return total

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for file in self._folder.glob("*/*.webp"):
            with suppress(OSError):
                facts = file.lstat()
                found.append((facts.st_mtime, facts.st_size, file))
        return found


def _file(folder: Path, tag: str) -> Path:
    name = tag.strip('"')
    return folder / name[:2] / f"{name}.webp"


def _read(folder: Path, tag: str, *, touch: bool) -> bytes | None:
    """Return a stored thumbnail, if there is one; with `touch`, the time of its last use is written now and then."""
    file = _file(folder, tag)
    if is_link(folder) or is_link(file):
        return None
    try:
        content = read_bounded(file, MOST_FILE)
        if touch and time.time() - file.stat().st_mtime > USED_AGAIN:
            os.utime(file)
    except OSError:
        return None
    return content if is_webp(content) else None


def thumbnail_webp(source: ImageLike, size: int, *, most: int) -> bytes:
    """Return an image as WebP whose longer side has at most `size` pixels; refused with more than `most` pixels."""
    try:
        pixels = resize(decode(source, longest=size, max_pixels=most).pixels, longest=size)
    except ImageError as error:
        raise ImageError("image", error.reason, final=error.final) from None
    file = io.BytesIO()
    # Method 2: half the time of the default, some percent more bytes.
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()
