"""The page: static files of `kindred/page`, with strong ETags."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from kindred.server.answers import is_known
from kindred.server.problems import Problem
from kindred.server.state import Here

__all__ = ["router"]

router = APIRouter()

PAGE = Path(__file__).parents[2] / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
"""The kinds of file that the page consists of; no other is served."""


@router.get("/")
async def index(here: Here, request: Request) -> Response:
    """Return the page."""
    return _answer(here.settings.page or PAGE, "index.html", request)


@router.get("/assets/{name:path}")
async def asset(here: Here, request: Request, name: str) -> Response:
    """Return a file of the page."""
    return _answer(here.settings.page or PAGE, name, request)


def _answer(folder: Path, name: str, request: Request) -> Response:
    parts = name.split("/")
    kind = TYPES.get(Path(name).suffix)
    # Names of plain files only: no "..", nothing hidden, no separator of another system, no NUL.
    if kind is None or any(not part or part.startswith(".") or set(part) & set("\\:\0") for part in parts):
        raise Problem(404, "the page has no such file")
    file = folder.joinpath(*parts)
    try:
        facts = file.stat()
        content, tag = _content(file, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError):
        raise Problem(404, "the page has no such file") from None
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


@lru_cache(maxsize=256)
def _content(file: Path, mtime_ns: int, size: int) -> tuple[bytes, str]:
    """Return the content of a file and its ETag; the time and size are those for which it is stored."""
    del mtime_ns, size
    content = file.read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
