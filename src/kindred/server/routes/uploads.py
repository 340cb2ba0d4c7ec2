"""Query images: sent once, then named in searches by their ids."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from kindred.server.answers import answer
from kindred.server.routes.images import Size
from kindred.server.state import Here
from kindred.server.thumbnails import thumbnail_webp
from kindred.server.uploads import IMAGE_BODY, Upload, Uploads, image_body
from kindred.service import UploadForm

__all__ = ["router"]

router = APIRouter(prefix="/uploads", tags=["search"])

UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@router.post("", status_code=201, openapi_extra=IMAGE_BODY)
async def upload(here: Here, request: Request) -> Response:
    """Store an image for searches with it, for an hour, or as long as a saved search names it.

    It does not become an image of the library.
    """
    content = await image_body(request, here)
    stored: Upload = await here.work.pictures(lambda: here.part(Uploads).store(content))
    return answer(UploadForm(stored.id, stored.width, stored.height), status=201)


@router.get("/{upload}")
async def one(here: Here, upload: UploadId) -> Response:
    """Return the size of an upload, in pixels of the upright image."""
    stored = await here.work.light(lambda: here.part(Uploads).get(upload))
    return answer(UploadForm(stored.id, stored.width, stored.height))


@router.get("/{upload}/thumbnail")
async def thumbnail(
    here: Here,
    upload: UploadId,
    size: Annotated[Size, Query(description="The longer side, in pixels.")] = "256",
) -> Response:
    """Return a thumbnail of an upload, as WebP."""
    stored = await here.work.light(lambda: here.part(Uploads).get(upload))
    content = await here.work.pictures(lambda: thumbnail_webp(stored.path, int(size), most=here.settings.upload_pixels))
    return Response(content, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/webp")
