"""The timeline of the library: how many images each month has."""

from __future__ import annotations

from fastapi import APIRouter, Response

from kindred.server.answers import answer
from kindred.server.forms import Where
from kindred.server.state import Here
from kindred.service import TimelineForm
from kindred.store import Filter

__all__ = ["router"]

router = APIRouter(prefix="/timeline", tags=["map"])


@router.get("")
async def timeline(here: Here, where: Where) -> Response:
    """Return the months that have images, with their numbers; of all images, or of those that match a filter."""
    return answer(await here.work.light(lambda: TimelineForm.of(here.library, where or Filter())))
