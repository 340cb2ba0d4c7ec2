"""Queries: images, parts of images or vectors, described by the recipe of a library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeGuard, TypeVar, cast

import numpy as np

from kindred._support.files import is_there
from kindred.arrays import Vectors, as_rows, l2_normalise
from kindred.describer import Describer, Description
from kindred.errors import UsageError
from kindred.features import ConvMap, LocalFeatures
from kindred.images import ImageLike, as_image, crop, decode
from kindred.library.resolution import SmallQuery, small_query
from kindred.matching import ImageRows
from kindred.recipe import Recipe
from kindred.store import Box, Filter, Store, VisualWords, is_uid

__all__ = [
    "NEGATIVE_WEIGHT",
    "DescribedQuery",
    "Query",
    "as_query",
    "describe_query",
    "moved_away",
    "names_image",
    "of_stored",
]

Query: TypeAlias = "ImageLike | Sequence[ImageLike] | Vectors"

T = TypeVar("T")

NEGATIVE_WEIGHT = 0.5
"""Weight of negative examples relative to the query. Rocchio 1971 leaves it to the application."""


@dataclass(frozen=True, eq=False)
class DescribedQuery:
    """A described query: one unit vector (1, D), or the rows of an image if the recipe stores several per image.

    features: the local features of the query, if the recipe stores them; points in pixels of the query. visual_words:
    those of its local features, if the recipe has words. map_of: returns the feature map of an image (path) or of the
    query (None). image: the query itself, if it is one image. small: how larger images are compared with it, if it is
    a whole image of few pixels. own: the id of its vector, if the query is an image of the library. again: returns the
    query looked at more closely, if `features` are not those of all passes over it. stored: whether `features` are
    those stored of the image, which the next look replaces. one_of: the number of regions of one image of which
    this is one; of each of several, few candidates are compared. is_large: whether it is a large one.
    """

    vector: Vectors | None = None
    parts: ImageRows | None = None
    features: LocalFeatures | None = None
    visual_words: VisualWords | None = None
    map_of: Callable[[Path | None], ConvMap] | None = None
    image: ImageLike | None = None
    small: SmallQuery | None = None
    own: int | None = None
    again: Callable[[], DescribedQuery] | None = None
    stored: bool = False
    one_of: int = 1
    is_large: bool = False

    def looked_again(self) -> DescribedQuery:
        """Return the query after one more look at it."""
        if self.again is None:
            return self
        found = self.again()
        return replace(self, features=found.features, visual_words=found.visual_words, again=found.again, stored=False)

    def looked_at_all(self) -> DescribedQuery:
        """Return the query with the local features and visual words of all passes over it."""
        query = self
        while query.again is not None:
            query = query.looked_again()
        return query

    @property
    def compared(self) -> Vectors | ImageRows:
        """The query as an index expects it."""
        if self.parts is not None:
            return self.parts
        assert self.vector is not None
        return self.vector


def describe_query(
    recipe: Recipe, describer: Callable[[], Describer], query: Query, box: Box | None, *, lazy: bool = False
) -> DescribedQuery:
    """Describe a query: an image or the part of it in `box`, several images of one object, or vectors.

    `describer` is only called if there is an image to describe. Several images are described by their mean. With
    `lazy`, the passes over it after the first are left to `DescribedQuery.looked_again`. Raises
    `UsageError` for an empty query, and if a box or several images cannot be combined with the rest.
    """
    if isinstance(query, np.ndarray) and query.dtype.kind == "f":
        return DescribedQuery(_vector(recipe, cast(Vectors, query), box))
    images = [as_image(each) for each in (query if isinstance(query, list | tuple) else [query])]
    if box is not None:
        if len(images) != 1:
            raise UsageError(f"search: a box needs a single query image, {len(images)} were given")
        images = [crop(decode(images[0]).pixels, box)]
    if not images:
        raise UsageError("search: the query is empty; give an image, several images of one object, or a vector")
    if recipe.multi_vector and len(images) > 1:
        raise UsageError(
            f"search: recipe {recipe.name!r} compares parts of images; give one query image, not {len(images)}"
        )
    ready = describer()
    descriptions = ready.one_by_one(enumerate(images), is_query=True, lazy=lazy)
    described = [as_query(each, image, ready) for each, image in zip(descriptions, images, strict=True)]
    if len(described) == 1:
        return described[0] if box is None else replace(described[0], small=None)
    return DescribedQuery(_mean(np.concatenate([cast(Vectors, each.vector) for each in described])))


def as_query(description: Description[T], image: ImageLike, describer: Describer) -> DescribedQuery:
    """Return a described image as a query; raises its `ImageError` if it could not be described.

    Raises `UsageError` if it has no local features and the recipe compares those.
    """
    if description.error is not None:
        raise description.error
    if not len(cast(Vectors, description.vectors)):
        raise UsageError("search: the query has no local features to compare; give another image or part of it")

    def map_of(path: Path | None) -> ConvMap:
        return describer.map_of(image if path is None else path)

    if describer.recipe.multi_vector:
        rows = describer.as_image_rows(description)
        return DescribedQuery(parts=rows, features=description.features, map_of=map_of, image=image)
    vector = _mean(cast(Vectors, description.vector)[None])
    words = description.visual_words
    small = small_query(describer, description.width, description.height)
    query = DescribedQuery(
        vector, features=description.features, visual_words=words, map_of=map_of, image=image, small=small
    )

    @cache  # a query may be ranked several times, for each page of its results
    def again() -> DescribedQuery:
        complete = describer.looked_again(description)
        return replace(query, features=complete.features, visual_words=complete.visual_words)

    return query if description.more is None else replace(query, again=again)


def names_image(query: object) -> TypeGuard[str]:
    """Return whether a query has the form of the id of an image, and is not a file of that name."""
    return isinstance(query, str) and is_uid(query) and not is_there(query)


def of_stored(store: Store, recipe: Recipe, query: Query, *, from_file: bool, prefer_file: bool = False) -> Query:
    """Return the stored vector if `query` is the id of an image of the library, otherwise the query itself.

    The path of the image is returned instead if the recipe stores several rows per image, or with `from_file`, for
    re-rankers that need the image; with `prefer_file`, if its file exists. Raises `UsageError` if the id is unknown or
    the image was skipped.
    """
    if not names_image(query):
        return query
    row = store.by_uid([query]).get(query)
    if row is None:
        raise UsageError(f"search: {query} is neither the id of an image of this library nor a file")
    if recipe.multi_vector or from_file or (prefer_file and is_there(row.path)):
        return row.path
    ids = store.select(Filter(ids=(query,)))
    if not ids.size:
        raise UsageError(f"search: image {query} ({row.path}) was skipped and has no vector; search with another image")
    return store.fetch(ids.tolist())[1]


def moved_away(query: DescribedQuery, negatives: DescribedQuery) -> DescribedQuery:
    """Return the query vector minus a share of that of the negative examples (Rocchio 1971).

    It has no regions: their vectors would not be moved.

    Raises `UsageError` if images are described by several rows, or if query and negatives are the same.
    """
    if query.vector is None or negatives.vector is None:
        raise UsageError("search: negative examples need a library with one vector per image; leave them out")
    difference = query.vector - NEGATIVE_WEIGHT * negatives.vector
    if float(np.abs(query.vector - negatives.vector).max()) < 1e-6:
        raise UsageError("search: the negative examples are the query itself; give other images")
    return replace(query, vector=cast(Vectors, l2_normalise(difference)), small=None, image=None)


def _vector(recipe: Recipe, query: Vectors, box: Box | None) -> Vectors:
    if box is not None:
        raise UsageError("search: a box needs a query image, a vector was given")
    if recipe.multi_vector:
        raise UsageError(f"search: recipe {recipe.name!r} compares parts of images; give an image as the query")
    rows = as_rows(np.atleast_2d(query), "query")
    if not len(rows):
        raise UsageError("search: the query is empty; give an image, several images of one object, or a vector")
    if not rows.any(axis=1).all():
        raise UsageError("search: the query vector is zero, which is similar to nothing; give another one")
    return _mean(l2_normalise(rows))


def _mean(vectors: Vectors) -> Vectors:
    mean: Vectors = l2_normalise(vectors.mean(axis=0))[None]
    return mean
