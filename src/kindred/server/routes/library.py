"""Facts about the library."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from kindred.server.folders import allowed_folders
from kindred.server.state import Here
from kindred.service import LibraryForm, SkipsForm

__all__ = ["router"]

router = APIRouter(prefix="/library", tags=["library"])


@router.get("")
async def library(here: Here) -> JSONResponse:
    """Return facts about the library and what can be done with it."""

    def facts() -> LibraryForm:
        return LibraryForm.of(here.library, read_only=here.settings.read_only, folders=allowed_folders(here))

    return JSONResponse((await here.work.light(facts)).to_json())


@router.get("/skipped")
async def skipped(
    here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 200, after: Annotated[int, Query(ge=0)] = 0
) -> JSONResponse:
    """Return the files that could not be used, with the reasons."""

    def listed() -> SkipsForm:
        return SkipsForm.page(here.library.skipped(), after=after, limit=limit)

    return JSONResponse((await here.work.light(listed)).to_json())
