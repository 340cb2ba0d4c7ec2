"""The requests of the API as models, and the filters of images in addresses and in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kindred.library.metadata import value_of
from kindred.store import Filter, Value

__all__ = [
    "ExplainRequest",
    "FilterModel",
    "Ids",
    "ImageChanges",
    "ImageId",
    "Listing",
    "MetadataOfImages",
    "QueryPart",
    "RequestModel",
    "SearchRequest",
    "Tag",
    "TagsChange",
    "Where",
    "WhereModel",
]

ImageId = Annotated[str, Field(pattern="^[0-9a-f]{16}$", examples=["0123456789abcdef"])]
Tag = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Day = Annotated[str, Field(max_length=40, examples=["2024-05-31"])]
Text = Annotated[str, Field(max_length=10_000)]

MOST_IDS = 100_000
"""Images that one request may name."""


class RequestModel(BaseModel):
    """The base of all requests: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class FilterModel(RequestModel):
    """A filter of images; all given conditions must hold."""

    folder: Annotated[str | None, Field(max_length=4096, description="Images in this folder, at any depth.")] = None
    tag: Annotated[list[Tag], Field(max_length=100, description="Images with all of these tags.")] = []
    without_tag: Annotated[list[Tag], Field(max_length=100, description="Images with none of these tags.")] = []
    from_: Annotated[Day | None, Field(alias="from", description="Taken on this day or later.")] = None
    to: Annotated[Day | None, Field(description="Taken on this day or earlier.")] = None
    where: Annotated[
        list[Text], Field(max_length=100, description="Conditions on metadata.", examples=[["price<20"]])
    ] = []
    ids: Annotated[list[ImageId] | None, Field(max_length=MOST_IDS, description="Only these images.")] = None

    def filter(self) -> Filter | None:
        """Return the filter, None if it has no condition. Raises UsageError."""
        if self == FilterModel():
            return None
        return Filter(
            folder=self.folder or None,  # type: ignore[arg-type]  # converted by Filter, as are the days and conditions
            tags=tuple(self.tag),
            after=self.from_ or None,  # type: ignore[arg-type]
            before=self.to or None,  # type: ignore[arg-type]
            where=tuple(self.where),  # type: ignore[arg-type]
            ids=None if self.ids is None else tuple(self.ids),
            without_tags=tuple(self.without_tag),
        )


def _model_of_query(
    folder: Annotated[str | None, Query(max_length=4096, description="Images in this folder, at any depth.")] = None,
    tag: Annotated[list[Tag] | None, Query(max_length=100, description="Images with all of these tags.")] = None,
    without_tag: Annotated[list[Tag] | None, Query(max_length=100, description="With none of these tags.")] = None,
    from_: Annotated[Day | None, Query(alias="from", description="Taken on this day or later.")] = None,
    to: Annotated[Day | None, Query(description="Taken on this day or earlier.")] = None,
    where: Annotated[list[Text] | None, Query(max_length=100, description="Conditions, such as price<20.")] = None,
) -> FilterModel:
    given = {"folder": folder, "tag": tag or [], "without_tag": without_tag or [], "to": to, "where": where or []}
    return FilterModel.model_validate({**given, "from": from_})


WhereModel = Annotated[FilterModel, Depends(_model_of_query)]
"""The filter in the address of a request, as a model."""


def _filter_of_query(model: WhereModel) -> Filter | None:
    return model.filter()


Where = Annotated[Filter | None, Depends(_filter_of_query)]
"""The filter in the address of a request."""


class Listing(BaseModel):
    """The order and the part of a listing, in the address of a request."""

    sort: Literal["added", "taken", "path"] = "added"
    order: Literal["asc", "desc"] = "asc"
    after: Annotated[str | None, Field(max_length=12_000, description="`next` of the part before.")] = None


class QueryPart(RequestModel):
    """One example of a search: an image of the library, an upload, or a vector."""

    image: ImageId | None = None
    upload: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$")] = None
    vector: Annotated[list[float] | None, Field(min_length=1, max_length=65_536)] = None
    box: Annotated[
        tuple[float, float, float, float] | None,
        Field(description="x0, y0, x1, y1 in pixels of the upright image: the part that counts."),
    ] = None
    weight: Annotated[float, Field(ge=-1, le=1, description="Below 0: not wanted.")] = 1.0

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(each is not None for each in (self.image, self.upload, self.vector)) != 1:
            raise ValueError("give one of image, upload and vector")
        return self


class SearchRequest(RequestModel):
    """A search with one example or several, and with answers of an earlier one that were right or wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": [{"image": "0123456789abcdef"}], "k": 30},
                {
                    "query": [{"image": "0123456789abcdef"}, {"image": "fedcba9876543210", "weight": -0.5}],
                    "filter": {"from": "2004-05-31", "to": "2044-05-31"},
                    "rerank": "none",
                },
                {"right": ["0123456789abcdef"], "wrong": ["fedcba9876543210"]},
            ]
        }
    )
    query: Annotated[list[QueryPart], Field(max_length=50)] = []
    right: Annotated[list[ImageId], Field(max_length=500)] = []
    wrong: Annotated[list[ImageId], Field(max_length=500)] = []
    k: Annotated[int, Field(ge=1, le=500)] = 30
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0
    filter: FilterModel = FilterModel()
    rerank: Annotated[
        Literal["default", "none"] | Annotated[list[Name], Field(min_length=1, max_length=10)],
        Field(description='"default": that of the recipe. Or names, such as "alpha_qe:n=10".'),
    ] = "default"
    depth: Annotated[int, Field(ge=1, le=1000, description="How many results are re-ranked.")] = 100
    regions: Annotated[
        bool | None, Field(description="Search regions of the image, too. null: where nothing is probably the same.")
    ] = None
    min_score: float | None = None
    min_probability: Annotated[float | None, Field(ge=0, le=1)] = None
    no_copies: bool = False

    def methods(self) -> list[str] | str | None:
        """Return the re-rankers as the library takes them."""
        return None if self.rerank == "default" else self.rerank


class ExplainRequest(RequestModel):
    """An example, and an image of the library that was found with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": {"image": "0123456789abcdef"}, "image": "fedcba9876543210"}],
        }
    )
    query: QueryPart
    image: ImageId


class Paths(RequestModel):
    """Paths of files, as the server names them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"paths": ["/photos/a.jpg"]}]})
    paths: Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=10_000)]


class TagsChange(RequestModel):
    """Tags to add and to remove."""

    add: Annotated[list[Tag], Field(max_length=100)] = []
    remove: Annotated[list[Tag], Field(max_length=100)] = []


class MetadataChange(RequestModel):
    """Metadata to set and keys to remove; text that is an ISO date becomes a date."""

    set: Annotated[dict[Name, Text | int | float], Field(max_length=200)] = {}
    unset: Annotated[list[Name], Field(max_length=200)] = []

    def values(self) -> Mapping[str, Value]:
        """Return the values to set. Raises UsageError."""
        return {key: value_of(value, f"metadata: {key!r}") for key, value in self.set.items()}


class ImageChanges(RequestModel):
    """Changes of one image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tags": {"add": ["sea"]}, "metadata": {"set": {"price": 20, "bought": "2024-05-31"}}}]
        }
    )
    tags: TagsChange = TagsChange()
    metadata: MetadataChange = MetadataChange()


class Ids(RequestModel):
    """Several images."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["0123456789abcdef"]}]})
    ids: Annotated[list[ImageId], Field(max_length=MOST_IDS)]


class TagsOfImages(Ids):
    """Tags to add to several images and to remove from them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": ["0123456789abcdef"], "add": ["sea"], "remove": []}]}
    )
    add: Annotated[list[Tag], Field(max_length=100)] = []
    remove: Annotated[list[Tag], Field(max_length=100)] = []


class MetadataOfImages(Ids, MetadataChange):
    """Metadata to set for several images, and keys to remove from them."""
