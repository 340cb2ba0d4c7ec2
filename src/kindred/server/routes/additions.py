"""Adding images to the library by upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.datastructures import UploadFile
from starlette.requests import Request

from kindred.server.additions import Additions, Received
from kindred.server.answers import answer
from kindred.server.bodies import content_kind, received, received_form
from kindred.server.problems import Problem
from kindred.server.state import Here, State, check_writable
from kindred.service.additions import AdditionsForm

__all__ = ["MOST_FILES", "router"]

router = APIRouter(tags=["images"])

MOST_FILES = 100  # of one request
CHUNK = 1 << 20

_ANY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "required": ["file"],
    }
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _FORM, "application/octet-stream": _ANY, "image/*": _ANY},
    }
}


@router.post(
    "/images", openapi_extra=_BODY, responses={201: {"description": "At least one image was added"}}, tags=["images"]
)
async def add(
    here: Here,
    request: Request,
    name: Annotated[str, Query(max_length=1000, description="Name of a file that is sent as the body")] = "image",
    tag: Annotated[list[str], Query(max_length=20, description="Tags for the images")] = [],  # noqa: B006
) -> Response:
    """Add images to the library: one as the body, or several as files of a form.

    The answer says for each whether it was added, was present already, or was refused and why. It comes after the
    images are stored. Sending the same image again changes nothing.
    """
    check_writable(here)
    additions = here.part(Additions)
    files: list[Received] = []
    try:
        if content_kind(request) == "multipart/form-data":
            await _receive_form(here, request, additions, files)
        else:
            files.append(additions.receive(name))
            async for chunk in received(request, limit=here.settings.upload_bytes):
                files[0].write(chunk)
        form = await here.work.heavy(lambda: _added(additions, files, tag))
    finally:
        for file in files:
            file.discard()
    return answer(form, status=201 if form.counts["added"] else 200)


async def _receive_form(here: State, request: Request, additions: Additions, files: list[Received]) -> None:
    """Append the files of a form to `files`."""
    form = await received_form(request, limit=here.settings.file_bytes, files=MOST_FILES)
    try:
        sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not sent:
            raise Problem(400, "the form has no file", hint="send images as files of a form")
        for upload in sent:
            if (upload.size or 0) > here.settings.upload_bytes:
                limit = here.settings.upload_bytes / 1e6
                raise Problem(413, f"a file is larger than {limit:,.0f} MB", hint="send a smaller one")
            file = additions.receive(upload.filename or "image")
            files.append(file)
            while chunk := await upload.read(CHUNK):
                file.write(chunk)
    finally:
        await form.close()


def _added(additions: Additions, files: Sequence[Received], tags: Sequence[str]) -> AdditionsForm:
    for file in files:
        file.finish()
    return additions.add(files, tags=tags)
