"""Searching a library: a query is described, compared with the images, and the results re-ranked if requested."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole
from kindred.describer import Describer
from kindred.errors import ImageError, UsageError
from kindred.features import Matcher
from kindred.hints import check_type
from kindred.images import ImageLike
from kindred.library.paths import is_missing, located_filter
from kindred.library.query import DescribedQuery, Query, as_query, describe_query, moved_away, names_image, of_stored
from kindred.library.query_regions import with_regions
from kindred.library.reranking import (
    DEPTH,
    check_limits,
    compare_images,
    gives_probabilities,
    reranked,
    steps_for,
)
from kindred.library.results import Hit, QueryResults, Results
from kindred.library.searching import Searcher
from kindred.library.stored_query import first_look
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Box, Filter, Store

if TYPE_CHECKING:
    from kindred.rerank import Method, RerankCache

__all__ = ["Searching", "limited", "results_of"]


class Searching(ABC):
    """The methods of a library that search it."""

    recipe: Recipe

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""

    @property
    @abstractmethod
    def describer(self) -> Describer:
        """The describer of the library."""

    @property
    @abstractmethod
    def searcher(self) -> Searcher:
        """The search with the index that serves the recipe. Raises `LibraryError` if the library is empty."""

    @property
    @abstractmethod
    def matcher(self) -> Matcher | None:
        """What pairs the stored local features; None if they are paired by nearest neighbours."""

    @property
    @abstractmethod
    def rerank_cache(self) -> RerankCache:
        """The cache of data that re-rankers compute once, stored in the library until its vectors change."""

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images with the library's recipe: unit vectors (N, D)."""
        return self.describer.describe(images)

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        box: Box | None = None,
        negatives: Query = (),
        where: Filter | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        rerank: str | Sequence[Method] | None = None,
        depth: int = DEPTH,
        regions: bool | None = None,
    ) -> Results:
        """Find the `k` images most similar to `query`.

        `query` is an image (path, bytes, Pillow image, uint8 array), several images of one object (searched by their
        mean), the id of an image of the library, or vectors (D,) or (N, D) from `describe`. `box` (x0, y0, x1, y1 in
        pixels of the upright query) limits the query to a part of the image. `negatives` are negative examples, given
        like a query: results that resemble them rank lower. `where` limits the search to a folder, tags, dates,
        metadata or ids. Results below `min_score` or `min_probability` are left out.

        `rerank` names the re-rankers of the best `depth` results, as in `kindred.rerank.rerank`. None is the default of
        the recipe: one with a calibration orders results by the probability that they show the same thing, which each
        hit then has. () or "none" orders them by the similarity of descriptors alone, as negative examples do by
        default.

        With `regions`, overlapping regions of the query image are searched as well, each on its own, and the query
        reduced: that finds several objects, or one that is small in the query or in an image of the library, and takes
        several times as long. By default small regions are searched where no image is probably the same thing. Where
        results have probabilities, a region only adds what probably is. False searches none. Raises `ImageError` for an
        unusable query, `RecipeError` for an unknown re-ranker or one that needs data the library does not have,
        `LibraryError` if the library is empty.
        """
        began = time.monotonic()
        has_negatives = isinstance(negatives, np.ndarray) or bool(negatives)
        steps = steps_for(self.recipe, () if rerank is None and has_negatives else rerank)
        check_limits(min_score, min_probability, steps, self.recipe)
        described = self._described(query, box, steps)
        if regions and (has_negatives or described.image is None):
            raise UsageError("search: regions are those of one query image; give one, and no negative examples")
        if has_negatives:
            negatives = of_stored(self.store, self.recipe, negatives, from_file=False)
            described = moved_away(described, describe_query(self.recipe, lambda: self.describer, negatives, None))
        results = self._ranked(described, k, where=where, steps=steps, depth=depth, began=began, regions=regions)
        return limited(results, min_score, min_probability)

    def search_each(
        self,
        images: Iterable[ImageLike] | str | Path,
        *,
        k: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        rerank: str | Sequence[Method] | None = None,
        depth: int = DEPTH,
        regions: bool | None = False,
    ) -> Iterator[QueryResults]:
        """Search for each image separately and yield the results in order; several times as fast as single searches.

        For an unusable image, the error is given in place of the results. Other arguments and errors are those of
        `search`; regions are not searched by default.
        """
        steps = steps_for(self.recipe, rerank)
        check_limits(min_score, min_probability, steps, self.recipe)
        waiting: dict[int, ImageLike] = {}
        check_type("images", images, (Iterable, str, Path), "several images")
        given: Iterable[ImageLike] = [images] if isinstance(images, str | Path | bytes) else images

        def numbered() -> Iterator[tuple[int, ImageLike]]:
            for number, image in enumerate(given):
                waiting[number] = image
                yield number, image

        finished: dict[int, QueryResults] = {}
        following = 0
        describer = self.describer
        with closing(describer.stream(numbered(), is_query=True)) as stream:
            for description in stream:
                began, image = time.monotonic(), waiting.pop(description.key)
                try:
                    described = as_query(description, image, describer)
                    results = self._ranked(
                        described, k, where=where, steps=steps, depth=depth, began=began, regions=regions
                    )
                    finished[description.key] = QueryResults(image, limited(results, min_score, min_probability))
                except ImageError as error:
                    finished[description.key] = QueryResults(image, error=error)
                while following in finished:
                    yield finished.pop(following)
                    following += 1

    def _described(self, query: Query, box: Box | None, steps: Sequence[Method]) -> DescribedQuery:
        """Describe a query lazily; an image of the library, given by id, by what is stored of it where that is enough.

        Otherwise by its file, if the re-rankers compare images or give probabilities, and by its vector if not.
        """
        from_file, prefer_file = box is not None or compare_images(steps), gives_probabilities(steps)
        if box is None and (from_file or prefer_file) and names_image(query):
            stored = first_look(self.store, self.recipe, query, lambda: self.describer)
            if stored is not None:
                return stored
        known = of_stored(self.store, self.recipe, query, from_file=from_file, prefer_file=prefer_file)
        described = describe_query(self.recipe, lambda: self.describer, known, box, lazy=True)
        if self.recipe.multi_vector or not names_image(query):
            return described
        ids = self.store.select(Filter(ids=(query,)))
        return replace(described, own=int(ids[0])) if ids.size else described

    def _ranked(
        self,
        described: DescribedQuery,
        k: int,
        *,
        where: Filter | None,
        steps: Sequence[Method],
        depth: int,
        began: float,
        regions: bool | None,
    ) -> Results:
        """Search with a described query, and with its regions."""
        check_whole(k=k, depth=depth)
        where = None if where is None else located_filter(where)
        searcher = self.searcher
        features = searcher.features()

        def ranked(query: DescribedQuery) -> Ranking:
            if not steps:
                return searcher.ranked(query, k, where)
            cache = self.rerank_cache
            return reranked(searcher, query, k, steps, where=where, depth=depth, cache=cache, features=features)

        ranking = with_regions(
            ranked(described),
            described,
            lambda: self.describer,
            ranked,
            regions=regions,
            calibrated=gives_probabilities(steps),
        )
        return results_of(searcher, ranking.top(k), began)


def limited(results: Results, min_score: float | None, min_probability: float | None) -> Results:
    """Leave out the hits below a score or a probability."""
    if min_score is not None:
        results = results.above(min_score)
    return results if min_probability is None else results.likely(min_probability)


def results_of(searcher: Searcher, ranking: Ranking, began: float) -> Results:
    """Convert the ranking of one query to hits; images removed meanwhile are left out."""
    rows = searcher.rows(int(number) for number in ranking.ids[0] if number >= 0)
    places = [at for at, number in enumerate(ranking.ids[0].tolist()) if number in rows]
    hits = []
    for rank, at in enumerate(places, 1):
        row, score = rows[int(ranking.ids[0, at])], float(ranking.scores[0, at])
        box = row.box if ranking.boxes is None else _box(ranking.boxes[0, at])
        hits.append(
            Hit(
                rank,
                row.path,
                score,
                box,
                row.width,
                row.height,
                row.taken,
                row.tags,
                id=row.uid,
                metadata=row.metadata,
                missing=is_missing(row.path),
                probability=None if ranking.probabilities is None else _known(ranking.probabilities[0, at]),
            )
        )
    return Results(tuple(hits), ranking.ids[0, places], ranking.scores[0, places], time.monotonic() - began)


def _known(probability: np.float32) -> float | None:
    """Return a probability of a ranking; None where it is unknown."""
    return None if np.isnan(probability) else float(probability)


def _box(edges: NDArray[np.float32]) -> Box | None:
    """Return a box of a ranking; None for the whole image."""
    if np.isnan(edges).any():
        return None
    x0, y0, x1, y1 = (edges + 0.0).tolist()  # where −0 becomes 0
    return x0, y0, x1, y1
