"""The timeline of the library: how many images each month has."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from kindred.server.state import Here
from kindred.service import TimelineForm
from kindred.store import Filter

__all__ = ["router"]

router = APIRouter(prefix="/timeline", tags=["timeline"])

Texts = Annotated[list[str] | None, Query(max_length=50)]


@router.get("")
async def timeline(
    here: Here,
    folder: Annotated[str | None, Query(max_length=4096)] = None,
    tag: Texts = None,
    where: Texts = None,
    after: Annotated[date | None, Query(alias="from")] = None,
    before: Annotated[date | None, Query(alias="to")] = None,
) -> JSONResponse:
    """Return the months that have images, with their numbers; of all images, or of those that match a filter."""

    def counted() -> TimelineForm:
        chosen = Filter(
            folder=None if folder is None else Path(folder),
            tags=tuple(tag or ()),
            where=tuple(where or ()),  # type: ignore[arg-type]  # conditions as text, which it converts
            after=after,
            before=before,
        )
        return TimelineForm.of(here.library, chosen)

    return JSONResponse((await here.work.light(counted)).to_json())
