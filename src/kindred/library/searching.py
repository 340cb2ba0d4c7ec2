"""Searching: a question goes in, a ranking of a library's images comes out.

`VectorSearch` compares one vector an image; its rankings hold the ids of vectors. `MultiVectorSearch` compares the rows
of images; its rankings hold the ids of images, and the boxes that matched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol, TypedDict, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors
from kindred.describer import matching_of
from kindred.errors import ImageError, LibraryError, UsageError
from kindred.features import NO_FEATURES, ConvMap, LocalFeatures, from_bytes
from kindred.index.multi_vector import MultiVectorIndex
from kindred.library.query import DescribedQuery
from kindred.matching import Option
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import Context, RerankCache
from kindred.store import Filter, Row, SqliteStore

__all__ = ["MultiVectorSearch", "Search", "VectorIndex", "VectorSearch"]


class Search(Protocol):
    """How a library is searched."""

    def ranked(self, asked: DescribedQuery, k: int, where: Filter | None) -> Ranking:
        """Return the best `k` for one question."""
        ...

    def rows(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the images behind the ids of a ranking; those that are gone are left out."""
        ...

    def context(self, asked: DescribedQuery, cache: RerankCache | None) -> Context:
        """Return what re-rankers may ask for."""
        ...


class VectorIndex(Protocol):
    """An index in step with a store: of its vectors, or of their codes."""

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), of those in `allowed` only if that is given."""
        ...


class VectorSearch:
    """Search by one vector an image; also the gallery that re-rankers ask."""

    def __init__(self, store: SqliteStore, index: VectorIndex) -> None:
        self.store, self.index = store, index

    def ranked(self, asked: DescribedQuery, k: int, where: Filter | None) -> Ranking:
        """Return the ids of the best vectors."""
        allowed = self.store.select(where) if where is not None else None
        return self.index.search(cast(Vectors, asked.vector), k, allowed=allowed)

    def rows(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the images behind vectors."""
        return self.store.rows(ids)

    def context(self, asked: DescribedQuery, cache: RerankCache | None) -> Context:
        """Return the question's vector and the library's; local features where both have them."""

        def features_of(number: int) -> LocalFeatures:
            row = self.store.rows([number]).get(number)
            return NO_FEATURES if row is None else _features(self.store, row.image_id)

        own = asked.features
        return Context(
            cast(Vectors, asked.vector),
            self,
            query_features=None if own is None else lambda _: own,
            image_features=None if own is None else features_of,
            cache=cache,
            **_maps(self, asked),
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def version(self) -> str:
        """What stands for the vectors: the library and its revision of them."""
        return f"library {self.store.meta.get('uuid', '')} vectors {self.store.vectors_revision}"

    def search(self, queries: Vectors, k: int) -> Ranking:
        """Return the best `k` vectors for queries (Q, D)."""
        return self.index.search(queries, k)

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the vectors (n, D) of `ids`; zero for one that was removed meanwhile."""
        present, rows = self.store.fetch(ids.tolist())
        if len(present) == len(ids):
            return rows
        found = dict(zip(present.tolist(), rows, strict=True))
        nothing = np.zeros(rows.shape[1], np.float32)
        return np.stack([found.get(number, nothing) for number in ids.tolist()])

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield all vectors, ids ascending."""
        return self.store.vectors()


class MultiVectorSearch:
    """Search by the rows of images, all of them in memory; read again when the library has changed.

    `options` are those of the matching.
    """

    def __init__(self, store: SqliteStore, recipe: Recipe, options: Mapping[str, Option]) -> None:
        self.store, self.recipe, self._options = store, recipe, options
        self._revision = -1
        self._index = self._empty()

    def ranked(self, asked: DescribedQuery, k: int, where: Filter | None) -> Ranking:
        """Return the ids of the best images, with the boxes that matched."""
        self._sync()
        allowed = self.store.select_images(where) if where is not None else None
        parts = asked.parts
        if parts is None:
            raise UsageError(f"search: recipe {self.recipe.name!r} compares the parts of images; give an image")
        if self.recipe.matching == "best" and parts.words is None:
            # What is looked for is the query as a whole, wherever it lies in an image.
            parts = replace(parts, rows=parts.rows[:1], owners=parts.owners[:1], boxes=None)
        return self._index.search(parts, k, allowed=allowed)

    def rows(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return images by their ids."""
        return self.store.images(ids)

    def context(self, asked: DescribedQuery, cache: RerankCache | None) -> Context:
        """Return local features alone: there is no one vector to compare."""
        own = asked.features
        nothing = np.zeros((1, 1), np.float32)
        return Context(
            nothing,
            _NoVectors(self.recipe),
            query_features=None if own is None else lambda _: own,
            image_features=None if own is None else lambda number: _features(self.store, number),
            cache=cache,
            **_maps(self, asked),
        )

    def _empty(self) -> MultiVectorIndex:
        return MultiVectorIndex(self.store.dimension or 1, method=matching_of(self.recipe), options=self._options)

    def _sync(self) -> None:
        revision = self.store.revision
        if revision == self._revision:
            return
        index = self._empty()
        for batch in self.store.parts():
            index.add(batch.owners, batch.rows, boxes=batch.boxes, words=batch.words)
        self._index, self._revision = index, revision


class _NoVectors:
    """The gallery of images that have no one vector: every question is an error that says so."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __len__(self) -> int:
        return 0

    @property
    def version(self) -> str:
        raise self._error("what stands for all vectors")

    def search(self, queries: Vectors, k: int) -> Ranking:
        raise self._error(f"searching {len(queries)} vectors for {k}")

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        raise self._error(f"fetching {len(ids)} vectors")

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        raise self._error("reading all vectors")

    def _error(self, what: str) -> LibraryError:
        return LibraryError(
            f"{what}: recipe {self._recipe.name!r} keeps several rows of an image; re-rank by local features (verify)"
        )


class _Maps(TypedDict, total=False):
    query_maps: Callable[[int], ConvMap]
    image_maps: Callable[[int], ConvMap]


def _maps(search: Search, asked: DescribedQuery) -> _Maps:
    """Return where the feature maps of the query and of images come from: the images are looked at again."""
    look = asked.map_of
    if look is None:
        return {}

    def of_image(number: int) -> ConvMap:
        row = search.rows([number]).get(number)
        try:
            if row is not None:
                return look(row.path)
        except ImageError:
            pass
        # Gone, or no longer an image: nothing in it is like anything.
        return ConvMap(np.zeros((look(None).values.shape[0], 1, 1), np.float32), (0.0, 0.0, 1.0, 1.0))

    return {"query_maps": lambda _: look(None), "image_maps": of_image}


def _features(store: SqliteStore, image_id: int) -> LocalFeatures:
    data = store.features(image_id)
    return NO_FEATURES if data is None else from_bytes(data)
