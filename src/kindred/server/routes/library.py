"""Facts about the library."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from kindred.server.answers import answer
from kindred.server.folders import allowed_folders
from kindred.server.state import Here
from kindred.service import LibraryForm, SkipsForm

__all__ = ["router"]

router = APIRouter(prefix="/library", tags=["library"])


@router.get("")
async def library(here: Here) -> Response:
    """Return facts about the library and what can be done with it."""

    def facts() -> LibraryForm:
        return LibraryForm.of(here.library, read_only=here.settings.read_only, folders=allowed_folders(here))

    return answer(await here.work.light(facts))


@router.get("/skipped")
async def skipped(
    here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 200, after: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """Return the files that could not be used, with the reasons."""

    def listed() -> SkipsForm:
        return SkipsForm.page(here.library.skipped(), after=after, limit=limit)

    return answer(await here.work.light(listed))
