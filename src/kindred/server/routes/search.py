"""Searching: by images of the library, uploads and vectors, and in one call by an image; and why a result was found."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from kindred.server.answers import answer
from kindred.server.forms import ExplainRequest, Name, QueryPart, SearchRequest, WhereModel
from kindred.server.searches import Searches, check_stored, example_of
from kindred.server.state import Here, State
from kindred.server.uploads import IMAGE_BODY, Uploads, image_body
from kindred.service import DescriptionForm, ExplanationForm, SearchForm

__all__ = ["router"]

router = APIRouter(tags=["search"])


@router.post("/search")
async def search(here: Here, asked: SearchRequest) -> Response:
    """Find the images most similar to the examples, best first."""
    return answer(await here.work.heavy(lambda: here.part(Searches).search(asked)))


@router.post("/search/image", openapi_extra=IMAGE_BODY)
async def search_by_image(
    here: Here,
    request: Request,
    where: WhereModel,
    k: Annotated[int, Query(ge=1, le=500)] = 30,
    rerank: Annotated[list[Name] | None, Query(max_length=10, description='Names, or "none".')] = None,
    regions: bool | None = None,
    min_probability: Annotated[float | None, Query(ge=0, le=1)] = None,
) -> Response:
    """Find the images most similar to the one in this request, in one call."""
    content = await image_body(request, here)
    methods: list[str] | Literal["default", "none"] = rerank or "default"

    def found() -> SearchForm:
        upload = here.part(Uploads).store(content)
        asked = SearchRequest(
            query=[QueryPart(upload=upload.id)],
            k=k,
            filter=where,
            rerank="none" if methods == ["none"] else methods,
            regions=regions,
            min_probability=min_probability,
        )
        return here.part(Searches).search(asked)

    return answer(await here.work.heavy(found))


@router.post("/describe", openapi_extra=IMAGE_BODY)
async def describe(here: Here, request: Request) -> Response:
    """Return the vector by which the library describes the image in this request."""
    content = await image_body(request, here)
    return answer(await here.work.heavy(lambda: _described(here, content)))


@router.post("/explain")
async def explain(here: Here, asked: ExplainRequest) -> Response:
    """Return in what an image of the library agrees with an example: points, or the similarity of parts."""

    def explained() -> ExplanationForm:
        check_stored(here, [uid for uid in (asked.query.image, asked.image) if uid])
        return ExplanationForm.of(here.library.explain(example_of(here, asked.query), asked.image))

    return answer(await here.work.heavy(explained))


def _described(here: State, content: bytes) -> DescriptionForm:
    upload = here.part(Uploads).store(content)
    vectors = here.library.describe(upload.path)
    return DescriptionForm(tuple(vectors[0].tolist()), vectors.shape[1], here.library.recipe.name)
