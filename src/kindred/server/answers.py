"""Answers: forms as JSON, ETags, and what of them the OpenAPI description says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fastapi import Request, Response

from kindred.service.form import Form, json_text

__all__ = ["answer", "answer_with_tag", "is_known"]

CONTENT = "application/json"


def answer(form: Form, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a form as JSON."""
    return Response(json_text(form.to_json()), status, headers, media_type=CONTENT)


def answer_with_tag(form: Form, request: Request) -> Response:
    """Return a form as JSON with a strong ETag; 304 without content if the client has the same."""
    content = json_text(form.to_json()).encode()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=CONTENT)


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client already has the content with this strong ETag (`If-None-Match`)."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in given.split(","))
