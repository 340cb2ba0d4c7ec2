"""Searches saved by name in the library."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from kindred.server.answers import answer
from kindred.server.forms import RequestModel
from kindred.server.problems import Problem
from kindred.server.state import Here, check_writable
from kindred.service import SavedForm, SavedSearchForm
from kindred.store.saved import NAME_LENGTH

__all__ = ["router"]

router = APIRouter(prefix="/saved", tags=["saved searches"])


class SaveRequest(RequestModel):
    """A search to save, in place of one of the same name: any JSON object of at most 64 kB."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Our red boat", "search": {"address": "q=00112233445566aa&tag=sea"}}]},
    )
    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
    search: dict[str, Any]


@router.get("")
async def saved(here: Here) -> Response:
    """Return all saved searches, ordered by name."""
    return answer(await here.work.light(lambda: SavedForm.of(here.library.saved_searches())))


@router.post("", status_code=201)
async def save(here: Here, request: SaveRequest) -> Response:
    """Save a search by name; one of the same name is replaced and keeps its id."""
    check_writable(here)
    form = await here.work.light(lambda: SavedSearchForm.of(here.library.save_search(request.name, request.search)))
    return answer(form, status=201, headers={"Location": f"/api/v1/saved/{form.id}"})


@router.get("/{search}")
async def one(here: Here, search: Annotated[str, Path(max_length=40)]) -> Response:
    """Return a saved search."""
    found = await here.work.light(here.library.saved_searches)
    for each in found:
        if each.id == search:
            return answer(SavedSearchForm.of(each))
    raise Problem(404, "there is no saved search with this id")


@router.delete("/{search}", status_code=204)
async def remove(here: Here, search: Annotated[str, Path(max_length=40)]) -> Response:
    """Remove a saved search."""
    check_writable(here)
    if not await here.work.light(lambda: here.library.remove_search(search)):
        raise Problem(404, "there is no saved search with this id")
    return Response(status_code=204)
