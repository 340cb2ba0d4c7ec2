"""The map of the whole library: positions, columns and sheets of thumbnails as compact binary data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from kindred.atlas import Atlas, SheetsBusy
from kindred.library.editing import record_of
from kindred.manifold.maps import check_map
from kindred.server.answers import answer, is_known
from kindred.server.forms import RequestModel
from kindred.server.jobs import Jobs
from kindred.server.maps import LARGE, SMALL, Maps, map_job
from kindred.server.problems import Problem
from kindred.server.routes.jobs import accepted
from kindred.server.state import Here, State
from kindred.service import AtlasForm, ImageForm, ImagesForm, RequestForm

__all__ = ["router"]

router = APIRouter(prefix="/map", tags=["map"])

METHOD_LENGTH, REVISION_LENGTH = 40, 60
MOST_RECORDS = 200
BUSY = 2  # seconds after which a sheet may be asked for again

Method = Annotated[str | None, Query(max_length=METHOD_LENGTH, description="tsne, isomap, mds or spectral; the newest")]
Revision = Annotated[
    str | None, Query(max_length=REVISION_LENGTH, description="That of GET /map; 409 if the map is another one by now")
]
Column = Literal["aspect", "day", "folder", "level", "tag"]
OCTETS: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "Not modified"},
}
WEBP: dict[int | str, dict[str, object]] = {
    200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "Not modified"},
}


class MapRequest(RequestModel):
    """The map to make; one that exists is updated to the images of the library, or computed from the start."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "tsne"}, {"method": "isomap", "anew": True}]})
    method: Annotated[str, Field(max_length=METHOD_LENGTH, description="tsne, isomap, mds or spectral")] = "tsne"
    anew: Annotated[bool, Field(description="Compute the map from the start")] = False


@router.get("")
async def describe(here: Here, method: Method = None) -> Response:
    """Return facts about the map: its revision, its columns and sheets, and whether the library has changed since."""
    running = here.part(Jobs).running("map")
    job = None if running is None else running.id
    return answer(await here.work.light(lambda: AtlasForm.of(here.library, here.part(Maps), method=method, job=job)))


@router.post("", status_code=202)
async def make(here: Here, request: MapRequest) -> Response:
    """Make or update a map in the background; the answer is the job."""
    check_map(request.method)
    work = map_job(here, request.method, anew=request.anew)
    again = RequestForm("/map", request.model_dump())
    return accepted(here.part(Jobs).start("map", "Making the map", work, again=again))


@router.get("/ids", response_class=Response, responses=OCTETS)
async def ids(here: Here, request: Request, method: Method = None, revision: Revision = None) -> Response:
    """Return the ids of the images of the map, in its order: 8 bytes each, 16 hexadecimal digits."""
    return await _binary(
        here, request, method, revision, "ids", lambda atlas: bytes.fromhex("".join(atlas.mapped.uids))
    )


@router.get("/positions", response_class=Response, responses=OCTETS)
async def positions(here: Here, request: Request, method: Method = None, revision: Revision = None) -> Response:
    """Return x and y of every image, from 0 to 1 and y pointing down: float32, little-endian."""
    return await _binary(here, request, method, revision, "xy", lambda atlas: _little(atlas.mapped.points))


@router.get("/columns/{name}", response_class=Response, responses=OCTETS)
async def column(
    here: Here, request: Request, name: Column, method: Method = None, revision: Revision = None
) -> Response:
    """Return a value for every image, little-endian.

    aspect: width divided by height, float32, 0 if unknown and −1 if the image is no longer in the library. day: days
    since 1970, int32, the least number if unknown. folder, tag: numbers of the groups of GET /map, uint8, 255 for
    others. level: uint8; thumbnails of the images up to level k do not overlap if the side of the map is at least
    4 · 2^(k/3) times that of a thumbnail.
    """
    return await _binary(here, request, method, revision, name, lambda atlas: _little(_column(atlas, name)))


@router.get("/images")
async def images(
    here: Here,
    at: Annotated[list[Annotated[int, Field(ge=0)]], Query(max_length=MOST_RECORDS, description="Places in its order")],
    method: Method = None,
    revision: Revision = None,
) -> Response:
    """Return the records of some images of the map; those that have been removed since are left out."""

    def listed() -> ImagesForm:
        mapped = here.part(Maps).found(method, revision).mapped
        if beyond := [place for place in at if place >= len(mapped)]:
            raise Problem(404, f"the map has no image {beyond[0]}", hint=f"it has {len(mapped)}, from 0")
        uids = [mapped.uids[place] for place in at]
        rows = here.library.store.by_uid(uids)
        return ImagesForm(tuple(ImageForm.of(record_of(rows[uid])) for uid in uids if uid in rows), ())

    return answer(await here.work.light(listed))


@router.get("/sheets/{number}", response_class=Response, responses=WEBP)
async def sheet(
    here: Here,
    request: Request,
    number: Annotated[int, Path(ge=0, le=10_000_000)],
    cell: Annotated[int, Query(description=f"Side of a cell in pixels: {SMALL} or {LARGE}")] = SMALL,
    method: Method = None,
    revision: Revision = None,
) -> Response:
    """Return a sheet of thumbnails as WebP, made at the first request: up to 2048 × 2048 pixels, row by row.

    A thumbnail lies in the top left corner of its cell; its longer side is that of the cell, and its shape that of its
    image, at most three times as long as wide.
    """

    def drawn(atlas: Atlas) -> bytes:
        try:
            return here.part(Maps).sheet(atlas, cell, number)
        except SheetsBusy:
            raise Problem(503, "another sheet is being made", headers={"Retry-After": str(BUSY)}) from None

    return await _binary(here, request, method, revision, f"{cell}-{number}", drawn, kind="image/webp")


async def _binary(
    here: State,
    request: Request,
    method: str | None,
    revision: str | None,
    name: str,
    content: Callable[[Atlas], bytes],
    *,
    kind: str = "application/octet-stream",
) -> Response:
    """Answer with bytes that belong to one revision of a map; a client that gives it need not ask for them again."""

    def found() -> Response:
        atlas = here.part(Maps).found(method, revision)
        version = atlas.digest if name in get_args(Column) else atlas.mapped.digest
        tag = f'"{version}-{name}"'
        stays = "private, max-age=31536000, immutable" if revision is not None else "private, no-cache"
        headers = {"ETag": tag, "Cache-Control": stays}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(content(atlas), headers=headers, media_type=kind)

    lane = here.work.pictures if kind.startswith("image/") else here.work.light
    return await lane(found)


def _column(atlas: Atlas, name: Column) -> NDArray[np.generic]:
    columns = atlas.columns
    if name == "aspect":
        return columns.aspects
    if name == "day":
        return columns.days
    if name == "level":
        return atlas.mapped.levels
    return (columns.folders if name == "folder" else columns.tags).numbers


def _little(values: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
