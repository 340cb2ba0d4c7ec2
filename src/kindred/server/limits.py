"""Limits of the body of a request: its size, and the time it may take, before anything parses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kindred.server.problems import Problem
from kindred.server.settings import ServerSettings

__all__ = ["BODY_BYTES", "Limits"]

BODY_BYTES = 8 << 20
"""The limit of bodies of JSON: the ids of some 400,000 images."""

FORM_BYTES = 64 << 10
"""What a multipart form may add to the image that it carries."""

PAUSE_SECONDS = 20.0
"""The longest pause in a body."""
LEAST_RATE = 8 << 10
"""Bytes per second that a body must have on average, after the first `PAUSE_SECONDS`."""

API = "/api/v1"
LARGE: Mapping[str, Callable[[ServerSettings], int]] = {
    f"{API}/images": lambda settings: settings.file_bytes,
    f"{API}/uploads": lambda settings: settings.upload_bytes + FORM_BYTES,
    f"{API}/search/image": lambda settings: settings.upload_bytes + FORM_BYTES,
    f"{API}/describe": lambda settings: settings.upload_bytes + FORM_BYTES,
}
"""The limits of the bodies that contain images, by path."""


class Limits:
    """ASGI middleware: refuses a body that is too large or too slow, as soon as that is known."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a `receive` that counts bytes and time."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        most = _most(scope["path"], self._settings)
        if _declared(scope) > most:
            await _too_large(most).response()(scope, receive, send)
            return
        await self._app(scope, _Counted(receive, most), send)


class _Counted:
    """A `receive` that raises HTTPException once the body is too large or too slow."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._began, self._bytes, self._ended = time.monotonic(), 0, False

    async def __call__(self) -> Message:
        if self._ended:  # what follows a body is only the end of the connection
            return await self._receive()
        allowed = PAUSE_SECONDS + self._bytes / LEAST_RATE - (time.monotonic() - self._began)
        try:
            async with asyncio.timeout(max(0.1, min(PAUSE_SECONDS, allowed))):
                message = await self._receive()
        except TimeoutError:
            self._ended = True
            raise HTTPException(408, headers={"Connection": "close"}) from None
        self._bytes += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._bytes > self._most:
            self._ended = True
            raise HTTPException(413, headers={"Connection": "close"})
        return message


def _most(path: str, settings: ServerSettings) -> int:
    limit = LARGE.get(path.rstrip("/"))
    return BODY_BYTES if limit is None else limit(settings)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 19 else 0
    return 0


def _too_large(most: int) -> Problem:
    return Problem(
        413, f"the request has more than the {most >> 20} MB that it may have", headers={"Connection": "close"}
    )
