"""Images of a library as queries, by what is stored of them: their files are read only where that is not enough.

Stored keypoints are the strongest ones of the pass that described the image. If they are not enough for any other image
to agree, the file is looked at as that of any query: first in that pass, with more keypoints, then in further ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from kindred._support.files import is_there
from kindred.arrays import Vectors, l2_normalise
from kindred.describer import Describer
from kindred.errors import ImageError, UsageError
from kindred.features import ConvMap
from kindred.library.query import DescribedQuery, describe_query
from kindred.library.resolution import LARGER
from kindred.library.stored import features_of, visual_words_of
from kindred.recipe import Recipe
from kindred.store import Filter, Row, Store

__all__ = ["first_look", "stored_query"]


def stored_query(store: Store, recipe: Recipe, uid: str) -> DescribedQuery:
    """Return an image of the library as a query, from what is stored of it: its file is not read.

    Raises UsageError if the id is unknown, the image was skipped, or the recipe stores several rows per image.
    """
    if recipe.multi_vector:
        raise UsageError(f"recipe {recipe.name!r} compares parts of images; a marked answer needs one vector per image")
    row = store.by_uid([uid]).get(uid)
    query = None if row is None else _described(store, recipe, row)
    if query is None:
        raise UsageError(f"search: {uid} is not the id of an image of this library that has a vector")
    return query


def first_look(store: Store, recipe: Recipe, uid: str, describer: Callable[[], Describer]) -> DescribedQuery | None:
    """Return an image of the library as a query whose first look is what is stored of it.

    `describer` is called when its file is looked at. None if the file has to be described at once, as images of few
    pixels do (`kindred.library.resolution`), or if the file, the id or what is stored is missing.
    """
    row = store.by_uid([uid]).get(uid)
    if row is None or recipe.multi_vector or _is_small(row, recipe) or not is_there(row.path):
        return None
    stored, path = _described(store, recipe, row), row.path
    if stored is None or (recipe.stored_features and stored.features is None):
        return None

    @cache  # a query may be ranked several times, for each page of its results
    def again() -> DescribedQuery:
        try:
            return describe_query(recipe, describer, path, None, lazy=True)
        except ImageError:  # its file has changed, or cannot be read now
            return stored

    def map_of(image: Path | None) -> ConvMap:
        return describer().map_of(path if image is None else image)

    if not recipe.stored_features:
        return replace(stored, map_of=map_of, image=path)
    return replace(stored, map_of=map_of, image=path, again=again, stored=True)


def _described(store: Store, recipe: Recipe, row: Row) -> DescribedQuery | None:
    """Return the query of an image of the library; None if it has no vector, as an image that was skipped."""
    ids = store.select(Filter(ids=(row.uid,)))
    if not ids.size:
        return None
    number = int(ids[0])
    vector: Vectors = l2_normalise(store.fetch([number])[1][:1])
    features = features_of(store, row) if recipe.stored_features else None
    words = visual_words_of(store, {row.image_id: row}).get(row.image_id) if recipe.words else None
    return DescribedQuery(vector, features=features, visual_words=words, own=number)


def _is_small(row: Row, recipe: Recipe) -> bool:
    """Return whether an image has fewer pixels than the recipe describes, or a size that is not known."""
    return LARGER * max(row.width or 0, row.height or 0) <= recipe.size * max(recipe.scales)
