"""Export of images: their facts as CSV or JSON, or their files as a zip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ConfigDict, Field

from kindred.server.exports import Export, ExportFormat, Exports
from kindred.server.forms import ImageId, RequestModel
from kindred.server.state import Here, State

__all__ = ["router"]

router = APIRouter(prefix="/export", tags=["export"])

MOST_IDS = 200_000


_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_DOWNLOAD: dict[str, Any] = {
    "content": {"text/csv": _FILE, "application/json": {"schema": {"type": "object"}}, "application/zip": _FILE},
    "description": "The file",
}


class ExportRequest(RequestModel):
    """Which images to export, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": [], "format": "csv"}]})
    ids: Annotated[list[ImageId], Field(max_length=MOST_IDS, description="Images by id, in the order of the export")]
    format: ExportFormat
    link: Annotated[bool, Field(description="Answer with an address to download from, instead of the file")] = False


@router.post(
    "",
    responses={200: _DOWNLOAD, 201: {"description": "The address of the file, for ten minutes"}},
    response_class=StreamingResponse,
)
async def export(here: Here, request: ExportRequest) -> Response:
    """Export images as a file: a table (csv), their records (json), or their files with a table (zip).

    Ids of no image are left out. A file of the zip that cannot be read is noted in its table.
    """
    wanted = Export(tuple(dict.fromkeys(request.ids)), request.format)
    if request.link:
        address = f"/api/v1/export/{here.part(Exports).keep(wanted)}"
        return JSONResponse({"address": address, "name": wanted.file_name}, 201, {"Location": address})
    return _download(here, wanted)


@router.get("/{export}", responses={200: _DOWNLOAD}, response_class=StreamingResponse)
async def download(here: Here, export: str) -> Response:
    """Download an export that was prepared with `link`."""
    return _download(here, here.part(Exports).get(export))


def _download(here: State, wanted: Export) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{wanted.file_name}"'}
    return StreamingResponse(wanted.pieces(here), media_type=wanted.media_type, headers=headers)
