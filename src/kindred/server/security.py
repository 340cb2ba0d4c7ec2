"""Security: which requests are let through, and what every answer tells the browser.

A page of another site can send requests to a server on this machine, by its address or by a name that it points there
(DNS rebinding). Therefore the name in `Host` must be one of the server's own, and a browser must say that the page
itself sent the request (`Sec-Fetch-Site`, `Origin`). A server that other machines can reach requires a token.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kindred.server.problems import Problem
from kindred.server.settings import ServerSettings

__all__ = ["COOKIE", "HEADERS", "POLICY", "Security", "cookie_of", "is_same_secret", "is_token"]

COOKIE = "kindred_session"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # blob: an image that was dropped or pasted, before it is sent
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
}

SAFE = ("GET", "HEAD", "OPTIONS")

OPEN_PATHS = ("/login", "/api/v1/health")
"""What can be reached without a token: how to give it, and whether the server runs."""


class Security:
    """ASGI middleware: checks a request before anything else reads it, and adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.hosts)}
        if settings.token is not None:
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request with a problem, and pass others on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = self._refusal(Request(scope))
        if problem is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await problem.response()(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Problem | None:
        host = request.headers.get("host", "")
        if not self._is_own_name(host):
            return Problem(421, "the Host header is not a name of this server", hint="start it with --name HOST")
        if not _from_own_page(request, host):
            return Problem(403, "the request comes from a page of another site")
        if self._settings.token is None or request.url.path in OPEN_PATHS:
            return None
        if is_token(self._settings.token, request):
            return None
        if request.url.path == "/" and request.method == "GET":
            return Problem(303, "the page asks for the token first", headers={"Location": "/login"})
        headers = {"WWW-Authenticate": "Bearer"}
        return Problem(401, "this server requires its token", hint="open /login, or send it as Bearer", headers=headers)

    def _is_own_name(self, host: str) -> bool:
        name = _name_of(host)
        if name is None:
            return False
        if name in self._names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        # No other site can take over an address; only names can be pointed at this machine.
        return address.is_loopback or self._settings.token is not None


def is_token(token: str, request: Request) -> bool:
    """Return whether a request carries the token, as `Authorization: Bearer` or in the cookie of `/login`."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and is_same_secret(given.strip(), token):
        return True
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and is_same_secret(cookie.value, cookie_of(token))


def cookie_of(token: str) -> str:
    """Return the value of the cookie that stands for a token, from which the token cannot be found."""
    return hmac.new(token.encode(), b"kindred session", hashlib.sha256).hexdigest()


def is_same_secret(given: str, expected: str) -> bool:
    """Return whether two texts are the same, in a time that does not say how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _name_of(host: str) -> str | None:
    """Return the name in a Host header, without port and brackets; None if it is not valid."""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and (parts.port or 0) >= 0 and "@" not in host
    except ValueError:
        return None
    return parts.hostname if valid else None


def _from_own_page(request: Request, host: str) -> bool:
    """Return whether a request was sent by the server's own page, by the user (a link, a bookmark), or by a program."""
    headers: Mapping[str, str] = request.headers
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        is_link = request.method in SAFE and headers.get("sec-fetch-mode") == "navigate"
        return is_link and headers.get("sec-fetch-dest", "document") == "document"
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
