"""Uploads: query images that clients have sent, stored for a while in a temporary folder.

Their ids cannot be guessed. Those that a saved search names are stored with it in the library, under the same ids.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.probe import probe
from kindred.server.bodies import content_kind, received, received_form
from kindred.server.problems import Problem
from kindred.server.saved_images import SavedImages
from kindred.server.state import State

__all__ = ["IMAGE_BODY", "Upload", "Uploads", "image_body"]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}}, "required": ["image"]}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _BINARY,
            "image/*": _BINARY,
            "multipart/form-data": {"schema": _FORM},
        },
    }
}
"""The description of a request whose body is an image."""

CHUNK = 1 << 20
SHARE = 16
"""Together, uploads take at most so many times the limit of one of them."""


@dataclass(frozen=True)
class Upload:
    """A stored query image; sizes in pixels of the upright image, and in bytes of its file."""

    id: str
    path: Path
    width: int
    height: int
    bytes: int
    began: float


class Uploads:
    """The query images of one server: of bounded number, age and total size; the oldest ones are dropped first."""

    def __init__(self, state: State) -> None:
        self._settings, self._saved = state.settings, state.part(SavedImages)
        self._folder = Path(tempfile.mkdtemp(prefix="kindred-uploads-"))
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Upload] = OrderedDict()

    def close(self) -> None:
        """Delete all uploads."""
        with self._lock:
            self._known.clear()
            shutil.rmtree(self._folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._known)

    def store(self, content: bytes) -> Upload:
        """Store an encoded image; raises ImageError for one that cannot be used or has too many pixels."""
        uid = secrets.token_hex(16)
        path = self._folder / uid
        try:
            path.write_bytes(content)
            probe(path, max_pixels=self._settings.upload_pixels)
            decoded = decode(content, longest=64, max_pixels=self._settings.upload_pixels)
        except ImageError as error:
            path.unlink(missing_ok=True)
            raise ImageError("upload", error.reason, final=error.final) from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        upload = Upload(uid, path, decoded.width, decoded.height, len(content), time.monotonic())
        with self._lock:
            self._known[uid] = upload
            self._drop()
        return upload

    def get(self, uid: str) -> Upload:
        """Return an upload, or the image of a saved search; raises a problem 404 if it is unknown or was dropped."""
        with self._lock:
            self._drop()
            upload = self._known.get(uid)
        upload = self._of_saved(uid) if upload is None else upload
        if upload is None:
            raise Problem(404, f"the uploaded image {uid[:100]} is no longer stored", hint="send it again")
        return upload

    def _of_saved(self, uid: str) -> Upload | None:
        """Return the image of a saved search as an upload; None if there is none, or it cannot be decoded."""
        path = self._saved.find(uid)
        if path is None:
            return None
        try:
            decoded = decode(path, longest=64, max_pixels=self._settings.upload_pixels)
        except ImageError:
            return None
        return Upload(uid, path, decoded.width, decoded.height, path.stat().st_size, time.monotonic())

    def _drop(self) -> None:
        """Drop what is too old or too much, but never the latest."""
        oldest = time.monotonic() - self._settings.upload_seconds
        total = sum(each.bytes for each in self._known.values())
        while len(self._known) > 1:
            first = next(iter(self._known.values()))
            too_much = len(self._known) > self._settings.uploads or total > SHARE * self._settings.upload_bytes
            if first.began >= oldest and not too_much:
                return
            del self._known[first.id]
            total -= first.bytes
            with suppress(OSError):
                first.path.unlink()


async def image_body(request: Request, here: State) -> bytes:
    """Return the image in a request: its body, or the one file of a multipart form. Raises a problem."""
    limit = here.settings.upload_bytes
    if content_kind(request) != "multipart/form-data":
        parts = [part async for part in received(request, limit=limit)]
        return _not_empty(b"".join(parts))
    form = await received_form(request, limit=limit + CHUNK, files=1)
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise Problem(400, "the form has no file", hint="send one image as a file of the form")
        if (files[0].size or 0) > limit:
            raise Problem(413, f"the image is larger than {limit / 1e6:,.0f} MB")
        return _not_empty(await files[0].read())
    finally:
        await form.close()


def _not_empty(content: bytes) -> bytes:
    if not content:
        raise Problem(400, "the request has no image", hint="send one as the body, or as a file of a form")
    return content
