"""Bodies of requests, received with a limit of bytes before anything is made of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from kindred.server.problems import Problem

__all__ = ["content_kind", "received", "received_form"]


def content_kind(request: Request) -> str:
    """Return the type of a body, in lower case and without parameters; "" if it is not given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def received(request: Request, *, limit: int) -> AsyncGenerator[bytes]:
    """Yield the body of a request as it comes; raises a problem for one of more than `limit` bytes, or cut off."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            yield chunk
    except ClientDisconnect:
        raise Problem(400, "the request ended early") from None


async def received_form(request: Request, *, limit: int, files: int) -> FormData:
    """Return a multipart form of at most `limit` bytes and `files` files, which are on the disk if they are large.

    The caller closes it. Raises a problem for any other body.
    """
    parser = MultiPartParser(request.headers, received(request, limit=limit), max_files=files, max_fields=files)
    try:
        return await parser.parse()
    except MultiPartException as error:
        many = "Too many" in error.message
        raise Problem(413 if many else 400, f"expected a form with at most {files} files") from None


def _too_large(limit: int) -> Problem:
    return Problem(
        413, f"the body of the request is larger than {limit / 1e6:,.0f} MB", hint="send fewer bytes at once"
    )
