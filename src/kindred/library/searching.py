"""Searching a library: from a described query to a ranking, and the data that re-rankers need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import ImageError, LibraryDamaged, LibraryError
from kindred.features import NO_FEATURES, ConvMap, LocalFeatures, Matcher, from_bytes
from kindred.index import LISTED, Index, IndexEntry, best_of_passes, by_words_and_vectors, halves, join_candidates
from kindred.library.query import DescribedQuery
from kindred.library.resolution import CANDIDATES as LARGER_CANDIDATES
from kindred.library.resolution import ReducedVectors, SmallQuery
from kindred.library.stored import READ_AHEAD, RankedImages, decoded
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES
from kindred.store import Filter, Row, Store

if TYPE_CHECKING:
    from kindred.calibration import Calibration
    from kindred.rerank import Context, RerankCache
    from kindred.rerank.context import Verified

__all__ = ["FeaturesOf", "Further", "Searcher", "StoreGallery", "StoredFeatures"]

Further: TypeAlias = Callable[[int], list[NDArray[np.int64]]]
"""Returns the ids (n,) of further candidates of each pass over a query, by its number, best first."""

FeaturesOf: TypeAlias = Callable[[Sequence[int]], Iterable[LocalFeatures]]
"""Returns the local features of the images with some ids, in their order."""

MOST_BYTES = 1 << 27
"""Bytes of local features that are held for one search at most: as floats they take many times as many as stored."""


class Searcher:
    """The search of a library with the index that serves its recipe, opened by `entry` of INDEXES.

    Rankings contain vector ids, or image numbers if an image has several rows. words: the index of the visual words of
    local features, if the recipe has them. reduced: what earlier small queries had described.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        entry: IndexEntry,
        recipe: Recipe,
        *,
        words: Index | None = None,
        reduced: ReducedVectors | None = None,
        calibration: Callable[[], Calibration | None] = lambda: None,
        matcher: Callable[[], Matcher | None] = lambda: None,
    ) -> None:
        self.index, self.words = index, words
        self._store, self._recipe, self._calibration, self._matcher = store, recipe, calibration, matcher
        self._reduced = ReducedVectors() if reduced is None else reduced
        self._images = RankedImages(store, by_number=entry.compares == "rows")

    def ranked(self, query: DescribedQuery, k: int, where: Filter | None) -> Ranking:
        """Return the best `k` results of a query among the images that match `where`.

        Images of more pixels than a small query are compared with it at its size.
        """
        ranking = self.index.search(query.compared, k, where=where)
        return ranking if query.small is None else self._at_size(query.small, query, ranking, where).top(k)

    def _at_size(self, small: SmallQuery, query: DescribedQuery, ranking: Ranking, where: Filter | None) -> Ranking:
        """Join the best larger images to the results of a small query, compared with it at its size."""
        found = (self.index.search(query.compared, LARGER_CANDIDATES, where=each) for each in small.larger(where))
        larger = np.unique(np.concatenate([_ids(each) for each in found]))
        if not larger.size:
            return ranking
        self._reduced.describe(small, {number: row.path for number, row in self.rows(larger).items()})
        ids, scores = self._scored(query, np.union1d(_ids(ranking), larger))
        order = np.lexsort((ids, -scores))
        return Ranking(ids[None, order], scores[None, order])

    def _scored(self, query: DescribedQuery, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], Vectors]:
        """Return the ids (n,) that exist and the scores (n,) of their vectors for a query."""
        assert query.vector is not None
        present, rows = self._store.fetch(ids.tolist())
        rows = rows.reshape(-1, query.vector.shape[1])
        if query.small is not None:
            rows = query.small.rows(present, rows)
        return present, SIMILARITIES[self._recipe.similarity](query.vector, rows)[0]

    def candidates(
        self, query: DescribedQuery, k: int, depth: int, where: Filter | None
    ) -> tuple[Ranking, Further | None]:
        """Return the candidates for re-ranking: the best `depth` by vectors or, with visual words, half of them.

        The other half are then the best by visual words. All are ordered by the scores of their vectors, and at least
        `k` are the best by vectors. With visual words, what is returned beside them returns further candidates.
        """
        vector, words = query.vector, query.visual_words
        if self.words is None or words is None or vector is None:
            return self.ranked(query, max(k, depth), where), None
        best, short = halves(depth)
        ranking = self.ranked(query, max(k, best), where)
        found = self.words.search(words, max(short, LISTED), where=where)

        def further(_: int) -> list[NDArray[np.int64]]:
            ids, scores = self._scored(query, np.unique(found.ids[found.ids >= 0]))  # ascending
            return [_by_both(ids, scores, own, votes) for own, votes in zip(found.ids, found.scores, strict=True)]

        by_words = best_of_passes(found).top(short)
        return join_candidates(ranking, by_words, lambda _, ids: self._scored(query, ids)), further

    def rows(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the images that the ids of a ranking refer to; images removed in the meantime are left out."""
        return self._images.rows(ids)

    def vectors(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the vectors (n, D) of the results of a ranking; zeros for those removed in the meantime."""
        return StoreGallery(self._store, self.index).fetch(ids)

    def context(
        self,
        query: DescribedQuery,
        cache: RerankCache | None,
        verified: Verified,
        features: FeaturesOf,
        *,
        further: Further | None = None,
    ) -> Context:
        """Return the data for re-rankers: vectors (if an image has one), local features, feature maps.

        features: those of images, which hold what earlier looks at the query, or at regions of it, have read.
        """
        from kindred.rerank import Context  # loaded late: most searches do not re-rank

        own = query.features
        has_vector = query.vector is not None and not self._images.by_number
        return Context(
            query.vector if has_vector and query.vector is not None else np.zeros((1, 1), np.float32),
            StoreGallery(self._store, self.index) if has_vector else _NoVectors(self._recipe),
            query_features=None if own is None else lambda _: own,
            image_features=None if own is None else features,
            cache=cache,
            calibration=self._calibration(),
            at_query_size={} if query.small is None else query.small.vectors,
            verified=verified,
            further=further,
            one_of=query.one_of,
            is_large=query.is_large,
            matcher=None if own is None else self._matcher(),
            **self._maps(query),
        )

    def features(self) -> StoredFeatures:
        """Return the local features of the images that the ids of a ranking refer to, for one search."""
        return StoredFeatures(self._images)

    def _maps(self, query: DescribedQuery) -> _Maps:
        """Return functions that compute the feature maps of the query and of images from their files."""
        map_of = query.map_of
        if map_of is None:
            return {}

        def of_image(number: int) -> ConvMap | None:
            row = self.rows([number]).get(number)
            try:
                return None if row is None else map_of(row.path)
            except ImageError:  # the file is gone or unreadable
                return None

        return {"query_maps": lambda _: map_of(None), "image_maps": of_image}


class StoredFeatures:
    """The local features of images of a library, each read once in one search, however often the query is looked at."""

    def __init__(self, images: RankedImages) -> None:
        self._images = images
        self._known: dict[int, LocalFeatures] = {}
        self._bytes = 0

    def __call__(self, ids: Sequence[int]) -> Iterator[LocalFeatures]:
        """Yield the features of images by their ids; none for those removed meanwhile. Raises LibraryDamaged."""
        for start in range(0, len(ids), READ_AHEAD):
            chunk = ids[start : start + READ_AHEAD]
            here = {each: self._known[each] for each in chunk if each in self._known}
            missing = [each for each in chunk if each not in here]
            data = self._images.features(missing) if missing else {}
            for each in chunk:
                yield here[each] if each in here else self._remembered(each, self._restored(each, data.get(each)))

    def _remembered(self, number: int, features: LocalFeatures) -> LocalFeatures:
        size = features.points.nbytes + features.descriptors.nbytes + features.scales.nbytes
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self._known.clear()
            self._bytes = size
        self._known[number] = features
        return features

    def _restored(self, number: int, data: bytes | None) -> LocalFeatures:
        try:
            return NO_FEATURES if data is None else from_bytes(data)
        except LibraryDamaged:
            for row in self._images.rows([number]).values():
                decoded(row, data)  # the error names the image
            raise


def _by_both(
    ids: NDArray[np.int64], scores: Vectors, own: NDArray[np.int64], votes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the ids of the results of one pass, by its votes and by the scores (n,) of ids (n,), best first.

    Results that are not among the ids, as images removed meanwhile, are left out.
    """
    known = np.isin(own, ids)
    here = np.searchsorted(ids, own[known])
    return by_words_and_vectors(own[known], votes[known], scores[here])


def _ids(ranking: Ranking) -> NDArray[np.int64]:
    """Return the ids of the first query, without padding."""
    first: NDArray[np.int64] = ranking.ids[0]
    return first[first >= 0]


class StoreGallery:
    """The vectors of a library, as re-rankers access them."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index

    def __len__(self) -> int:
        self._index.sync()
        return len(self._index)

    @property
    def version(self) -> str:
        """Identifier of the current vectors: the library and its revision."""
        return f"library {self._store.meta.get('uuid', '')} vectors {self._store.vectors_revision}"

    def search(self, queries: Vectors, k: int) -> Ranking:
        """Return the best `k` vectors for queries (Q, D)."""
        return self._index.search(queries, k)

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the vectors (n, D) of `ids`; zeros for vectors removed in the meantime."""
        present, rows = self._store.fetch(ids.tolist())
        if len(present) == len(ids):
            return rows
        found = dict(zip(present.tolist(), rows, strict=True))
        nothing = np.zeros(rows.shape[1], np.float32)
        return np.stack([found.get(number, nothing) for number in ids.tolist()])

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield all vectors, ids ascending."""
        return self._store.vectors()


class _NoVectors:
    """The gallery of a library whose images have several rows: every access is an error that explains this."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __len__(self) -> int:
        return 0

    @property
    def version(self) -> str:
        raise self._error("the revision of the vectors")

    def search(self, queries: Vectors, k: int) -> Ranking:
        raise self._error(f"searching {len(queries)} vectors for {k}")

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        raise self._error(f"fetching {len(ids)} vectors")

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        raise self._error("reading all vectors")

    def _error(self, what: str) -> LibraryError:
        return LibraryError(
            f"{what}: recipe {self._recipe.name!r} stores several rows per image; re-rank by local features (verify)"
        )


class _Maps(TypedDict, total=False):
    query_maps: Callable[[int], ConvMap]
    image_maps: Callable[[int], ConvMap | None]
