"""Tags of the library as a whole: their numbers of images, other names, removal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from kindred.server.answers import answer
from kindred.server.forms import RequestModel, Tag
from kindred.server.state import Here, check_writable
from kindred.service import ChangeForm
from kindred.service.additions import TagsForm

__all__ = ["router"]

router = APIRouter(prefix="/tags", tags=["tags"])


class TagToRename(RequestModel):
    """A tag and its new name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag": "sea", "to": "seaside"}]})
    tag: Tag
    to: Annotated[Tag, Field(description="If it is in use, the images of both are joined")]


class TagToRemove(RequestModel):
    """A tag."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag": "sea"}]})
    tag: Tag


@router.get("")
async def tags(here: Here) -> Response:
    """Return all tags with their numbers of images."""
    return answer(await here.work.light(lambda: TagsForm(here.library.store.tags())))


@router.post("/rename")
async def rename(here: Here, change: TagToRename) -> Response:
    """Give a tag another name, on all its images."""
    check_writable(here)
    return answer(
        await here.work.light(lambda: ChangeForm("tagged", here.library.rename_tag(change.tag, change.to), ()))
    )


@router.post("/remove")
async def remove(here: Here, change: TagToRemove) -> Response:
    """Remove a tag from all its images. The images remain."""
    check_writable(here)
    count = await here.work.light(lambda: here.library.rename_tag(change.tag, None))
    return answer(ChangeForm("untagged", count, ()))
