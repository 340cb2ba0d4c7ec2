"""DescribedQuery: a question to a library, described as its images are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np

from kindred.arrays import Vectors, as_rows, l2_normalise
from kindred.describer import Describer
from kindred.errors import UsageError
from kindred.features import ConvMap, LocalFeatures
from kindred.images import ImageLike, as_image, crop, decode
from kindred.matching import ImageRows
from kindred.recipe import Recipe
from kindred.store import Box

__all__ = ["DescribedQuery", "Query", "describe_query"]

Query: TypeAlias = "ImageLike | Sequence[ImageLike] | Vectors"


@dataclass(frozen=True, eq=False)
class DescribedQuery:
    """What is looked for: one unit vector (1, D), or the rows of an image where the recipe keeps several.

    features: the query's local features, where the recipe keeps those; points in pixels of the query. map_of:
    what the network sees of an image (path), or of the query (None).
    """

    vector: Vectors | None = None
    parts: ImageRows | None = None
    features: LocalFeatures | None = None
    map_of: Callable[[Path | None], ConvMap] | None = None

    @property
    def compared(self) -> Vectors | ImageRows:
        """What an index is asked with."""
        if self.parts is not None:
            return self.parts
        assert self.vector is not None
        return self.vector


def describe_query(recipe: Recipe, describer: Callable[[], Describer], query: Query, box: Box | None) -> DescribedQuery:
    """Describe a query: an image, or the part of it in `box`; several images of one thing; or vectors.

    `describer` is called only where there is an image to describe. Several are searched by their mean. Raises
    `UsageError` where there is nothing to search for, or where a box or several images make no sense.
    """
    if isinstance(query, np.ndarray) and query.dtype.kind == "f":
        return DescribedQuery(_vector(recipe, cast(Vectors, query), box))
    images = [as_image(each) for each in (query if isinstance(query, list | tuple) else [query])]
    if box is not None:
        if len(images) != 1:
            raise UsageError(f"search: a box belongs to one query image, {len(images)} were given")
        images = [crop(decode(images[0]).pixels, box)]
    if not images:
        raise UsageError("search: no query; give an image, several images of one thing, or a vector")
    if recipe.multi_vector and len(images) > 1:
        raise UsageError(
            f"search: recipe {recipe.name!r} compares the parts of images; give one image, not {len(images)}"
        )
    ready = describer()
    described = list(ready.one_by_one(enumerate(images), is_query=True))
    for each in described:
        if each.error is not None:
            raise each.error
        if not len(cast(Vectors, each.vectors)):
            raise UsageError("search: the query has no local features to compare; give another image or part of it")
    alone = len(images) == 1
    features = described[0].features if alone else None

    def map_of(path: Path | None) -> ConvMap:
        return ready.map_of(images[0] if path is None else path)

    seen = map_of if alone else None
    if recipe.multi_vector:
        return DescribedQuery(parts=ready.as_image_rows(described[0]), features=features, map_of=seen)
    return DescribedQuery(
        _mean(np.stack([cast(Vectors, each.vector) for each in described])), features=features, map_of=seen
    )


def _vector(recipe: Recipe, query: Vectors, box: Box | None) -> Vectors:
    if box is not None:
        raise UsageError("search: a box belongs to an image, a vector was given")
    if recipe.multi_vector:
        raise UsageError(f"search: recipe {recipe.name!r} compares the parts of images; give an image")
    rows = as_rows(np.atleast_2d(query), "query")
    if not len(rows):
        raise UsageError("search: no query; give an image, several images of one thing, or a vector")
    return _mean(l2_normalise(rows))


def _mean(vectors: Vectors) -> Vectors:
    mean: Vectors = l2_normalise(vectors.mean(axis=0))[None]
    return mean
