"""Removals of images from the library that can be undone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from kindred.server.answers import answer
from kindred.server.jobs import Jobs
from kindred.server.removals import Removals
from kindred.server.routes.jobs import accepted
from kindred.server.state import Here, check_writable
from kindred.service import RequestForm

__all__ = ["router"]

router = APIRouter(prefix="/removals", tags=["images"])


@router.get("")
async def removals(here: Here) -> Response:
    """Return the removals that can be undone, newest first: the last 20."""
    return answer(await here.work.light(lambda: here.part(Removals).form()))


@router.post("/{removal}/undo", status_code=202)
async def undo(here: Here, removal: Annotated[str, Path(max_length=40)]) -> Response:
    """Add the images of a removal again, with their ids, tags and metadata, where their files still exist."""
    check_writable(here)
    work = await here.work.light(lambda: here.part(Removals).undo(removal))
    again = RequestForm(f"/removals/{removal}/undo", {})
    return accepted(here.part(Jobs).start("restore", "Adding removed images again", work, again=again))
