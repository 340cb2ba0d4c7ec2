"""Heads: HEAD requests, answered wherever GET is, with the same status and headers and no body."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Heads"]


class Heads:
    """ASGI middleware: passes a HEAD request on as GET and leaves out the body of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the route that it reaches is noted in `scope`, for those who count requests."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # From this version of ASGI on, a stream ends where its next part cannot be sent: events would never end.
        inner = {**scope, "method": "GET", "asgi": {**scope.get("asgi", {}), "spec_version": "2.4"}}
        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] != "http.response.body":
                await send(message)
                return
            if not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})
            if message.get("more_body", False):
                raise OSError("the answer to HEAD has no body")

        try:
            await self._app(inner, receive, without_body)
        except (OSError, ClientDisconnect):
            if not ended:
                raise
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]
