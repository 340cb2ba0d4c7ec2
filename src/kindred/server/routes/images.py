"""Images by id: their records, thumbnails and files; tags, metadata, and removal from the library."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from io import BufferedReader
from os import fstat
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from kindred.library import located
from kindred.library.stored_query import stored_query
from kindred.server.answers import answer, answer_with_tag, is_known
from kindred.server.files import open_image, record_of
from kindred.server.forms import Ids, ImageChanges, Listing, MetadataOfImages, Paths, TagsOfImages, Where
from kindred.server.removals import Removals
from kindred.server.state import Here, check_writable
from kindred.server.thumbnails import Thumbnails
from kindred.service import ChangeForm, DescriptionForm, ImageForm, ImagePageForm, LayoutForm, LookupForm

__all__ = ["router"]

router = APIRouter(prefix="/images", tags=["images"])

Uid = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The id of an image.")]
Size = Literal["64", "128", "256", "512", "1600"]

CHUNK = 1 << 18
HOUR, YEAR = 3600, 31_536_000


@router.get("")
async def images(
    here: Here,
    where: Where,
    listing: Annotated[Listing, Query()],
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """List images, all or those that match a filter, in parts."""

    def listed() -> ImagePageForm:
        page = here.library.image_page(
            where, sort=listing.sort, descending=listing.order == "desc", after=listing.after, limit=limit
        )
        return ImagePageForm.of(page)

    return answer(await here.work.light(listed))


@router.get("/layout")
async def layout(
    here: Here,
    request: Request,
    where: Where,
    listing: Annotated[Listing, Query()],
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
) -> Response:
    """List ids and aspect ratios, in parts of up to 10,000: what a grid of everything needs."""

    def listed() -> LayoutForm:
        found = here.library.layout(
            where, sort=listing.sort, descending=listing.order == "desc", after=listing.after, limit=limit
        )
        return LayoutForm.of(found)

    return answer_with_tag(await here.work.light(listed), request)


@router.post("/tags")
async def tag_images(here: Here, changes: TagsOfImages) -> Response:
    """Add tags to images and remove tags from them."""
    check_writable(here)

    def change() -> ChangeForm:
        known = here.library.store.by_uid(changes.ids)
        unknown = tuple(uid for uid in changes.ids if uid not in known)
        with here.library.store.writing():
            here.library.tag(list(known), changes.add)
            count = here.library.untag(list(known), changes.remove)
        if changes.remove and not changes.add:
            return ChangeForm("untagged", count, unknown)
        return ChangeForm("tagged", len(known), unknown)

    return answer(await here.work.light(change))


@router.post("/metadata")
async def change_metadata(here: Here, changes: MetadataOfImages) -> Response:
    """Change the metadata of images; all changes are made, or none."""
    check_writable(here)

    def change() -> ChangeForm:
        known, values = here.library.store.by_uid(changes.ids), changes.values()
        with here.library.store.writing():
            count = here.library.unset_metadata(list(known), changes.unset)
            if values:
                here.library.set_metadata(list(known), values)
        unknown = tuple(uid for uid in changes.ids if uid not in known)
        return ChangeForm("changed", len(known) if values else count, unknown)

    return answer(await here.work.light(change))


@router.post("/lookup")
async def look_up(here: Here, files: Paths) -> Response:
    """Return the ids of the images at paths of the server, in their order; null for others."""

    def looked_up() -> LookupForm:
        places = [located(path) if "\0" not in path else None for path in files.paths]
        known = here.library.store.lookup([place for place in places if place is not None])
        return LookupForm(tuple(known[place].uid if place in known else None for place in places))

    return answer(await here.work.light(looked_up))


@router.post("/remove")
async def remove_images(here: Here, images: Ids) -> Response:
    """Remove images from the library. Their files remain, and `POST /removals/UNDO/undo` adds them again."""
    check_writable(here)
    return answer(await here.work.light(lambda: here.part(Removals).remove(images.ids)))


@router.get("/{uid}")
async def image(here: Here, request: Request, uid: Uid) -> Response:
    """Return the record of an image."""
    return answer_with_tag(await here.work.light(lambda: ImageForm.of(record_of(here, uid))), request)


@router.patch("/{uid}")
async def change_image(here: Here, uid: Uid, changes: ImageChanges) -> Response:
    """Change tags and metadata of an image; all changes are made, or none."""
    check_writable(here)

    def change() -> ImageForm:
        record_of(here, uid)
        values = changes.metadata.values()
        library = here.library
        with library.store.writing():
            library.tag(uid, changes.tags.add)
            library.untag(uid, changes.tags.remove)
            library.unset_metadata(uid, changes.metadata.unset)
            if values:
                library.set_metadata(uid, values)
        return ImageForm.of(record_of(here, uid))

    return answer(await here.work.light(change))


@router.delete("/{uid}")
async def remove_image(here: Here, uid: Uid) -> Response:
    """Remove an image from the library. Its file remains."""
    check_writable(here)
    return answer(await here.work.light(lambda: here.part(Removals).remove([record_of(here, uid).id])))


@router.get("/{uid}/vector")
async def vector(here: Here, uid: Uid) -> Response:
    """Return the stored vector of an image."""

    def stored() -> DescriptionForm:
        record_of(here, uid)
        found = stored_query(here.library.store, here.library.recipe, uid).vector
        assert found is not None
        return DescriptionForm(tuple(found[0].tolist()), found.shape[1], here.library.recipe.name)

    return answer(await here.work.light(stored))


@router.get("/{uid}/thumbnail")
async def thumbnail(
    here: Here,
    request: Request,
    uid: Uid,
    size: Annotated[Size, Query(description="The longer side, in pixels.")] = "256",
    v: Annotated[
        str | None, Query(max_length=64, description="Any version: the answer may then be stored forever.")
    ] = None,
) -> Response:
    """Return a thumbnail of an image, as WebP; smaller images keep their size."""
    thumbnails, side = here.part(Thumbnails), int(size)

    def look() -> tuple[bytes | None, str]:
        tag = thumbnails.tag_of(record_of(here, uid), side)
        return (None if is_known(request, tag) else thumbnails.stored(tag)), tag

    content, tag = await here.work.light(look)
    control = f"private, max-age={HOUR}" if v is None else f"private, max-age={YEAR}, immutable"
    headers = {"ETag": tag, "Cache-Control": control}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    if content is None:
        content = await here.work.pictures(lambda: thumbnails.make(record_of(here, uid), side, tag))
    return Response(content, headers=headers, media_type="image/webp")


@router.get("/{uid}/file")
async def file(here: Here, request: Request, uid: Uid) -> Response:
    """Return the file of an image, unchanged."""

    def opened() -> tuple[BufferedReader, str]:
        record = record_of(here, uid)
        return open_image(here, record), record.path.name

    stream, name = await here.work.light(opened)
    facts = fstat(stream.fileno())
    tag = f'"{facts.st_size:x}-{facts.st_mtime_ns:x}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}",
    }
    if is_known(request, tag):
        stream.close()
        return Response(status_code=304, headers=headers)
    # No Content-Length: a file that is written to meanwhile would break the answer.
    return StreamingResponse(_parts(stream, facts.st_size), headers=headers, media_type="application/octet-stream")


def _parts(stream: BufferedReader, size: int) -> Iterator[bytes]:
    with stream:
        while size > 0 and (part := stream.read(min(CHUNK, size))):
            size -= len(part)
            yield part
