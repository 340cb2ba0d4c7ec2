"""Errors as problem details (RFC 9457): a status, a title and one line, without paths or traces."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kindred.errors import (
    ImageError,
    KindredError,
    LibraryError,
    LibraryFull,
    LibraryLocked,
    LibraryNotFound,
    LibraryReplaced,
    MissingExtra,
    ModelError,
    RecipeError,
    RemoteError,
    UsageError,
)
from kindred.server.work import Busy
from kindred.service.form import json_text

__all__ = ["Problem", "install_problems", "problem_of", "without_paths"]

LOG = logging.getLogger("kindred.server")

RETRY = 2
"""Seconds after which a request may be repeated that found the library locked."""

STATUS: dict[type[KindredError], tuple[int, str]] = {
    UsageError: (400, "The request cannot be carried out as given"),
    RecipeError: (400, "The request cannot be carried out as given"),
    ImageError: (422, "The image cannot be used"),
    RemoteError: (422, "A remote address cannot be read"),
    MissingExtra: (501, "The server lacks an optional package"),
    LibraryLocked: (503, "The library is being changed by another process"),
    LibraryFull: (507, "The disk has no room left"),
    LibraryNotFound: (503, "The library is gone"),
    LibraryReplaced: (503, "The library was replaced"),
    LibraryError: (409, "The library cannot be used as requested"),
    ModelError: (500, "A network is missing or damaged"),
    KindredError: (500, "The request failed"),
}
"""Status and title of each class of error; the nearest base class counts."""

TITLES = {
    400: "The request is not valid",
    401: "A token is required",
    403: "The request is not allowed",
    404: "Not found",
    405: "This address does not have that method",
    408: "The request took too long",
    413: "The request is too large",
    415: "The type of the request is not supported",
    421: "This server does not have that name",
    422: "The request is not valid",
    503: "The server is busy",
}

# An absolute path: nothing that a client sends or receives elsewhere looks like one in a message.
PATH = re.compile(r"""(?<![\w./:])(?:~|[A-Za-z]:)?/[^\s'",;:()]+""")


class Problem(Exception):
    """An answer other than success, raised by a route: status, one line of detail, and what to do about it.

    error: the name of the error of `kindred.errors`, by which a client raises the same.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
        error: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.error = error
        self.status, self.detail, self.hint, self.headers = status, detail, hint, dict(headers or {})
        self.title = title or TITLES.get(status, "The request failed")

    def to_json(self) -> dict[str, object]:
        """Return the content of the answer."""
        content: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint:
            content["hint"] = self.hint
        if self.error:
            content["error"] = self.error
        return content

    def response(self) -> Response:
        """Return the answer."""
        text = json_text(self.to_json())
        return Response(text, self.status, self.headers, media_type="application/problem+json")


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error is to a client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Busy):
        return Problem(503, str(error), headers={"Retry-After": str(error.seconds)})
    if isinstance(error, KindredError):
        return _known(error)
    if isinstance(error, RequestValidationError):
        return Problem(422, _first_of(error))
    if isinstance(error, HTTPException):
        return Problem(error.status_code, TITLES.get(error.status_code, error.detail), headers=error.headers)
    return Problem(500, "the server made a mistake; its log has the details", title="The request failed")


def without_paths(text: str) -> str:
    """Return a message with every absolute path left out.

    >>> without_paths("/home/me/.kindred: already contains a library; open '/tmp/x.jpg'")
    "…: already contains a library; open '…'"
    """
    return PATH.sub("…", text)


def install_problems(app: FastAPI) -> None:
    """Let an application answer every error with a problem."""

    async def answer(_: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (Problem, Busy, KindredError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
    app.add_middleware(_Caught)


class _Caught:
    """ASGI middleware: an error that nobody expected is logged, and answered without a trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if began or scope["type"] != "http":
                raise
            LOG.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            await problem_of(error).response()(scope, receive, send)


def _known(error: KindredError) -> Problem:
    status, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    text = error.reason if isinstance(error, ImageError | RemoteError) else without_paths(str(error))
    detail, _, hint = text.partition("; ")
    headers = {"Retry-After": str(RETRY)} if status == 503 else {}
    if status == 500:
        LOG.error("%s", error)
    return Problem(status, detail, title=title, hint=hint or None, headers=headers, error=type(error).__name__)


def _first_of(error: RequestValidationError) -> str:
    """Return the first fault of a request that has not the form described by the API."""
    faults = error.errors()
    if not faults:
        return TITLES[422]
    where = ".".join(str(part) for part in faults[0].get("loc", ()))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0].get('msg', 'is not valid')}{more}"[:500]
