"""Duplicates: the groups of the last search, what was decided about them, and lists of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from kindred.duplicates import COPIES, Kind, csv_of, kept
from kindred.server.answers import answer
from kindred.server.duplicates import Duplicates, duplicates_job, not_searched
from kindred.server.forms import ImageId, RequestModel
from kindred.server.jobs import Jobs
from kindred.server.problems import Problem
from kindred.server.routes.jobs import accepted
from kindred.server.state import Here, State, check_writable
from kindred.service import DuplicatesForm, NotSameForm, RequestForm, ReviewForm, ReviewQuery
from kindred.service.review import keep_images, reviewed_group, reviewed_groups

__all__ = ["router"]

router = APIRouter(prefix="/duplicates", tags=["duplicates"])

MOST_IDS, MOST_FOLDERS, PATH_LENGTH, TAG_LENGTH = 1000, 50, 4096, 200

RuleName = Literal["folder", "larger", "older", "newer", "format"]
Cosine = Annotated[float | None, Query(gt=0, le=1)]
Tag = Annotated[str, Field(min_length=1, max_length=TAG_LENGTH)]
Folder = Annotated[str, Field(min_length=1, max_length=PATH_LENGTH)]


def asked(
    kinds: Annotated[list[Kind] | None, Query(max_length=10)] = None,
    threshold: Cosine = None,
    most: Cosine = None,
    without_tag: Annotated[
        list[Tag] | None,
        Query(max_length=10, description="No decided groups: all images have one of these tags; any, if it is one tag"),
    ] = None,
    marked: Annotated[bool, Query(description="Also pairs that were marked as not the same")] = False,
    rule: Annotated[list[RuleName] | None, Query(max_length=10, description="What to keep, in turn")] = None,
    prefer: Annotated[list[Folder] | None, Query(max_length=MOST_FOLDERS)] = None,
) -> ReviewQuery:
    """Return which groups a request means."""
    return ReviewQuery(
        kinds=tuple(kinds or ()),
        threshold=threshold,
        most=most,
        without_tag=tuple(without_tag or ()),
        marked=marked,
        rules=tuple(rule or ()),
        prefer=tuple(map(Path, prefer or ())),
    )


Asked = Annotated[ReviewQuery, Depends(asked)]


class DuplicatesRequest(RequestModel):
    """A search for duplicates; threshold: the cosine from which images are alike, null for that of the recipe."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"threshold": None}]})
    threshold: Annotated[float | None, Field(gt=0, le=1)] = None


class NotSameRequest(RequestModel):
    """Images that are not the same: all with each other, or each with each of the others."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": ["00112233445566aa", "8899aabbccddeeff"], "others": None}]},
    )
    ids: Annotated[list[ImageId], Field(min_length=1, max_length=MOST_IDS)]
    others: Annotated[list[ImageId] | None, Field(max_length=MOST_IDS)] = None


class KeepRequest(RequestModel):
    """The groups in which to choose what to keep, the rules, and the tags for what is kept and for the others."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rules": ["larger", "older"], "tag": "keep"}]})
    rules: Annotated[tuple[RuleName, ...], Field(min_length=1, max_length=10)]
    prefer: Annotated[tuple[Folder, ...], Field(max_length=MOST_FOLDERS)] = ()
    kinds: Annotated[tuple[Kind, ...], Field(max_length=10)] = COPIES
    threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    most: Annotated[float | None, Field(gt=0, le=1)] = None
    without_tag: Annotated[tuple[Tag, ...], Field(max_length=10, description="Leave decided groups as they are")] = ()
    tag: Annotated[str | None, Field(min_length=1, max_length=TAG_LENGTH)] = None
    tag_others: Annotated[str | None, Field(min_length=1, max_length=TAG_LENGTH)] = None


@router.get("")
async def groups(
    here: Here,
    query: Asked,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=0, le=500)] = 100,
) -> Response:
    """Return the groups of the last search, page by page; `searched` is null, and there is none, before the first.

    The threshold can be any from that of the search less 0.1, without another search.
    """
    review = here.part(Duplicates)
    return answer(await here.work.light(lambda: ReviewForm.of(review, here.library, query, after=after, limit=limit)))


@router.post("", status_code=202)
async def search(here: Here, request: DuplicatesRequest) -> Response:
    """Search the library for duplicates in the background; the answer is the job."""
    work = duplicates_job(here, request.threshold)
    again = RequestForm("/duplicates", request.model_dump())
    return accepted(here.part(Jobs).start("duplicates", "Searching for duplicates", work, again=again))


@router.get("/list", responses={200: {"content": {"text/csv": {}, "application/json": {}}}}, response_class=Response)
async def listed(here: Here, query: Asked, format: Literal["csv", "json"] = "csv") -> Response:  # noqa: A002
    """Return all groups as a file, with the files that belong to each image and, by the rules, whether to keep it."""
    return await here.work.light(lambda: _list(here, query, format))


@router.get("/not-same")
async def not_same(
    here: Here,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Return the pairs of images, by id, that were marked as not the same."""

    def found() -> dict[str, object]:
        pairs = here.library.not_same()
        shown = pairs[after : after + limit]
        return {"pairs": shown, "total": len(pairs), "next": after + limit if after + limit < len(pairs) else None}

    return JSONResponse(await here.work.light(found))


@router.post("/not-same")
async def mark(here: Here, request: NotSameRequest) -> Response:
    """Remember in the library that images are not the same: no two of them are in one group again."""
    check_writable(here)
    count = await here.work.light(lambda: here.library.mark_not_same(request.ids, request.others))
    return answer(NotSameForm("marked", count))


@router.delete("/not-same")
async def unmark(here: Here, request: NotSameRequest) -> Response:
    """Remove marks of images as not the same."""
    check_writable(here)
    count = await here.work.light(lambda: here.library.unmark_not_same(request.ids, request.others))
    return answer(NotSameForm("unmarked", count))


@router.post("/keep")
async def keep(here: Here, request: KeepRequest) -> Response:
    """Choose by rules which images to keep, and tag them or the others; no file is changed."""
    check_writable(here)
    query = ReviewQuery(
        kinds=request.kinds,
        threshold=request.threshold,
        most=request.most,
        without_tag=request.without_tag,
        rules=request.rules,
        prefer=tuple(map(Path, request.prefer)),
    )
    form = await here.work.light(
        lambda: keep_images(here.part(Duplicates), here.library, query, tag=request.tag, tag_others=request.tag_others)
    )
    if form is None:
        raise not_searched()
    return answer(form)


@router.get("/{key}")
async def group(here: Here, query: Asked, key: Annotated[str, InPath(max_length=40)]) -> Response:
    """Return one group, with the files that belong to each of its images."""
    form = await here.work.light(lambda: reviewed_group(here.part(Duplicates), here.library, query, key))
    if form is None:
        raise Problem(404, "there is no such group", hint="it may have changed since; GET /duplicates lists the groups")
    return answer(form)


def _list(here: State, query: ReviewQuery, format: str) -> Response:  # noqa: A002
    review = here.part(Duplicates)
    last = review.last
    if last is None:
        raise not_searched()
    groups = reviewed_groups(review, here.library, last, query)
    chosen = [kept(group, query.rules, folders=query.prefer) if query.rules else None for group in groups]
    headers = {"Content-Disposition": f'attachment; filename="duplicates.{format}"'}
    if format == "csv":
        return Response(csv_of(zip(groups, chosen, strict=True)), headers=headers, media_type="text/csv; charset=utf-8")
    threshold = last.found.threshold if query.threshold is None else query.threshold
    form = DuplicatesForm.of(groups, threshold=threshold, most=query.most, seconds=0.0, keep=chosen)
    return answer(form, headers=headers)
