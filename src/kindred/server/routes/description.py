"""The description of the API: for programs as OpenAPI, for people as a page."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from kindred.server.description import describe_api
from kindred.server.reference import reference_page
from kindred.server.state import Here

__all__ = ["router"]

router = APIRouter()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(here: Here, request: Request) -> JSONResponse:
    """Return the description of the API (OpenAPI 3.1)."""
    app: FastAPI = request.app
    return JSONResponse(await here.work.light(lambda: describe_api(app, here.library)))


@router.get("/docs", include_in_schema=False)
async def docs(here: Here, request: Request) -> HTMLResponse:
    """Return the description of the API as a page."""
    app: FastAPI = request.app
    return HTMLResponse(await here.work.light(lambda: reference_page(describe_api(app, here.library))))
