"""The requests of the API as models, and the filters of images in addresses and in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from kindred.library.metadata import value_of
from kindred.store import Filter, Value

__all__ = [
    "FilterModel",
    "Ids",
    "ImageChanges",
    "ImageId",
    "Listing",
    "MetadataOfImages",
    "Request",
    "Tag",
    "TagsChange",
    "Where",
]

ImageId = Annotated[str, Field(pattern="^[0-9a-f]{16}$", examples=["0123456789abcdef"])]
Tag = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Day = Annotated[str, Field(max_length=40, examples=["2024-05-31"])]
Text = Annotated[str, Field(max_length=10_000)]

MOST_IDS = 100_000
"""Images that one request may name."""


class Request(BaseModel):
    """The base of all requests: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class FilterModel(Request):
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
        return _filter(self.folder, self.tag, self.without_tag, self.from_, self.to, self.where, self.ids)


def _filter(
    folder: str | None,
    tags: list[str],
    without: list[str],
    after: str | None,
    before: str | None,
    where: list[str],
    ids: list[str] | None = None,
) -> Filter | None:
    if not (folder or tags or without or after or before or where or ids is not None):
        return None
    return Filter(
        folder=folder or None,  # type: ignore[arg-type]  # converted by Filter, as are the days and conditions
        tags=tuple(tags),
        after=after or None,  # type: ignore[arg-type]
        before=before or None,  # type: ignore[arg-type]
        where=tuple(where),  # type: ignore[arg-type]
        ids=None if ids is None else tuple(ids),
        without_tags=tuple(without),
    )


def _filter_of_query(
    folder: Annotated[str | None, Query(max_length=4096, description="Images in this folder, at any depth.")] = None,
    tag: Annotated[list[Tag] | None, Query(max_length=100, description="Images with all of these tags.")] = None,
    without_tag: Annotated[list[Tag] | None, Query(max_length=100, description="With none of these tags.")] = None,
    from_: Annotated[Day | None, Query(alias="from", description="Taken on this day or later.")] = None,
    to: Annotated[Day | None, Query(description="Taken on this day or earlier.")] = None,
    where: Annotated[list[Text] | None, Query(max_length=100, description="Conditions, such as price<20.")] = None,
) -> Filter | None:
    return _filter(folder, tag or [], without_tag or [], from_, to, where or [])


Where = Annotated[Filter | None, Depends(_filter_of_query)]
"""The filter in the address of a request."""


class Listing(BaseModel):
    """The order and the part of a listing, in the address of a request."""

    sort: Literal["added", "taken", "path"] = "added"
    order: Literal["ascending", "descending"] = "ascending"
    after: Annotated[str | None, Field(max_length=12_000, description="`next` of the part before.")] = None


class TagsChange(Request):
    """Tags to add and to remove."""

    add: Annotated[list[Tag], Field(max_length=100)] = []
    remove: Annotated[list[Tag], Field(max_length=100)] = []


class MetadataChange(Request):
    """Metadata to set and keys to remove; text that is an ISO date becomes a date."""

    set: Annotated[dict[Name, Text | int | float], Field(max_length=200)] = {}
    unset: Annotated[list[Name], Field(max_length=200)] = []

    def values(self) -> Mapping[str, Value]:
        """Return the values to set. Raises UsageError."""
        return {key: value_of(value, f"metadata: {key!r}") for key, value in self.set.items()}


class ImageChanges(Request):
    """Changes of one image."""

    tags: TagsChange = TagsChange()
    metadata: MetadataChange = MetadataChange()


class Ids(Request):
    """Several images."""

    ids: Annotated[list[ImageId], Field(max_length=MOST_IDS)]


class TagsOfImages(Ids):
    """Tags to add to several images and to remove from them."""

    add: Annotated[list[Tag], Field(max_length=100)] = []
    remove: Annotated[list[Tag], Field(max_length=100)] = []


class MetadataOfImages(Ids, MetadataChange):
    """Metadata to set for several images, and keys to remove from them."""
