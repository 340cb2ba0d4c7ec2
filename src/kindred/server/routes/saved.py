"""Searches saved by name in the library, with the query images that were uploaded for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from kindred.server.answers import answer
from kindred.server.forms import RequestModel
from kindred.server.problems import Problem
from kindred.server.saved_images import SavedImages, uploads_in
from kindred.server.state import Here, check_writable
from kindred.server.uploads import Uploads
from kindred.service import SavedForm, SavedSearchForm
from kindred.store.saved import NAME_LENGTH, checked_search

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
    """Save a search by name; one of the same name is replaced and keeps its id.

    Uploads that it names, as `q=u.ID` in an address or as `"upload": "ID"`, are stored in the library with it.
    """
    check_writable(here)

    def saved() -> SavedSearchForm:
        uploads, images = here.part(Uploads), here.part(SavedImages)
        named = uploads_in(checked_search(request.search))
        images.store([(upload, uploads.get(upload).path) for upload in named])
        try:
            return SavedSearchForm.of(here.library.save_search(request.name, request.search))
        finally:
            images.release(here.library.saved_searches())

    form = await here.work.light(saved)
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
    """Remove a saved search, with its query images."""
    check_writable(here)

    def removed() -> bool:
        found = here.library.remove_search(search)
        here.part(SavedImages).release(here.library.saved_searches())
        return found

    if not await here.work.light(removed):
        raise Problem(404, "there is no saved search with this id")
    return Response(status_code=204)
