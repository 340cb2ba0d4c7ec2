"""Login: a token is exchanged for a cookie, so that the page can be opened by a link."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from kindred.server.problems import Problem
from kindred.server.security import COOKIE, cookie_of, is_same_secret
from kindred.server.settings import ServerSettings
from kindred.server.state import Here

__all__ = ["router"]

router = APIRouter()

FORM_BYTES = 4096
YEAR = 365 * 86400

FORM = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Kindred</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
</head><body><main><h1>Kindred</h1><form method="post" action="/login">
<p><label for="token">Token, as printed by kindred serve</label></p>
<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button></p></form></main></body></html>
"""


@router.get("/login")
async def login(here: Here, token: Annotated[str | None, Query(max_length=1000)] = None) -> Response:
    """Open the page if the address has the token; otherwise ask for it."""
    if here.settings.token is None:
        return RedirectResponse("/", 303)
    return HTMLResponse(FORM) if token is None else _opened(here.settings, token)


@router.post("/login")
async def login_by_form(here: Here, request: Request) -> Response:
    """Open the page if the form has the token."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise Problem(413, f"the form has more than {FORM_BYTES} bytes")
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    return _opened(here.settings, given)


def _opened(settings: ServerSettings, given: str) -> Response:
    if settings.token is None or not is_same_secret(given, settings.token):
        raise Problem(401, "this is not the token of the server", hint="it is printed when the server starts")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, cookie_of(settings.token), max_age=YEAR, httponly=True, samesite="lax")
    return answer
