"""The regions of the queries of an evaluation, searched for as in a search of a library."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.evaluation.describing import DescribingTask, Part
from kindred.evaluation.searching import Search
from kindred.features import NO_FEATURES, LocalFeatures
from kindred.images import crop, decode
from kindred.library.query import DescribedQuery
from kindred.library.query_regions import described_regions, joined, needs_regions
from kindred.library.reranking import reranked
from kindred.library.searching import FeaturesOf, Further
from kindred.ranking import Ranking
from kindred.rerank import Context, Method, RerankCache
from kindred.rerank.context import Verified
from kindred.rerank.needs import is_calibrated
from kindred.store import Filter

__all__ = ["QueryRegions", "check_regions", "steps_of_query"]


def check_regions(regions: bool | None, methods: Sequence[Method]) -> None:
    """Raise UsageError if regions are requested where results have no probabilities."""
    if regions and not is_calibrated(methods):
        raise UsageError(
            "regions are only searched where results have probabilities: with a recipe that has a calibration, and "
            "without other re-rankers or fusion; leave regions out"
        )


def steps_of_query(methods: Sequence[Method], regions: bool | None) -> int:
    """Return the steps of progress of a query that is re-ranked.

    Where regions are searched they are three: without its relevant images a query may need its regions again.
    """
    return bool(methods) + 2 * (is_calibrated(methods) and regions is not False)


@dataclass(eq=False)
class QueryRegions:
    """Joins what regions of queries show to results with probabilities, and counts those queries and the seconds.

    queries: the images, or the parts of them in a box. regions: None for small regions of queries without a probable
    result, true for all regions of every query, as in `Library.search`. context: the data for re-rankers, of any query.
    depth: the most candidates.

    searched: the number of queries whose regions were searched for among the whole database, and the seconds that this
    took. What is described of them is not cached: it takes 7 MB a query.
    """

    search: Search
    work: DescribingTask
    queries: Sequence[Part]
    steps: Sequence[Method]
    context: Context
    depth: int
    regions: bool | None = None
    searched: int = 0
    seconds: float = 0.0
    _searches: dict[int, _RegionSearch] = field(default_factory=dict)

    def join(self, ranking: Ranking, first: int, removed: Sequence[NDArray[np.int64]] | None) -> Ranking:
        """Return the results of the queries from number `first` on, each joined with those of its regions if needed.

        removed: for each query the ids of images that are taken out of the database; None for a search of all of it,
        which comes first, and only whose time counts.
        """
        rows = []
        for row in range(len(ranking)):
            number, found = first + row, _row(ranking, row)
            if needs_regions(found, self.regions):
                found = self._joined(found, number, None if removed is None else removed[row])
            if removed is not None:
                self._searches.pop(number, None)  # nothing more is searched for with this query
            rows.append(found)
            self.work.step()
        return _stacked(rows)

    def _joined(self, ranking: Ranking, number: int, removed: NDArray[np.int64] | None) -> Ranking:
        began = time.perf_counter()
        if number not in self._searches:
            self._searches[number] = _RegionSearch(self.search, self.context, self._described(number))
        search, left_out = self._searches[number], self.search.left_out[number]
        search.left_out = left_out if removed is None else [*left_out, *removed.tolist()]
        better = joined(ranking, [self._ranked(search, part) for part in search.parts], calibrated=True)
        if removed is None:
            self.searched += bool(search.parts)
            self.seconds += time.perf_counter() - began
        return better

    def _ranked(self, search: _RegionSearch, part: DescribedQuery) -> Ranking:
        features = self.context.image_features or _no_features
        cache, depth = self.context.cache, self.depth
        return reranked(search, part, depth, self.steps, where=None, depth=depth, cache=cache, features=features)

    def _described(self, number: int) -> list[DescribedQuery]:
        path, box = self.queries[number]
        image = path if box is None else crop(decode(path).pixels, box)
        return described_regions(image, self.work.describer, regions=self.regions, calibrated=True)


@dataclass(eq=False)
class _RegionSearch:
    """The search for the regions of one query, which remembers what verification found.

    left_out: the images of the database that are not searched.
    """

    search: Search
    everything: Context
    parts: Sequence[DescribedQuery]
    left_out: Sequence[int] = ()
    _verified: dict[DescribedQuery, Verified] = field(default_factory=lambda: defaultdict(Verified))

    def candidates(
        self, query: DescribedQuery, k: int, depth: int, where: Filter | None
    ) -> tuple[Ranking, Further | None]:
        """Return the candidates of a region among all images that are not left out; there are no further ones."""
        assert where is None
        return self.search.candidates_of(query, k, depth, left_out=self.left_out), None

    def context(
        self,
        query: DescribedQuery,
        cache: RerankCache | None,
        verified: Verified,  # noqa: ARG002 - that of both searches is used
        features: FeaturesOf,
        *,
        further: Further | None = None,
    ) -> Context:
        """Return the data for re-rankers."""
        own = query.features
        assert query.vector is not None
        return replace(
            self.everything,
            queries=query.vector,
            query_features=None if own is None else lambda _: own,
            image_features=None if own is None else features,
            cache=cache,
            verified=self._verified[query],
            further=further,
            matcher=None if own is None else self.everything.matcher,
            one_of=query.one_of,
            is_large=query.is_large,
        )


def _no_features(ids: Sequence[int]) -> list[LocalFeatures]:
    """Return the local features of images of a database none of which has any."""
    return [NO_FEATURES] * len(ids)


def _row(ranking: Ranking, row: int) -> Ranking:
    """Return the results of one query, without padding."""
    kept = ranking.ids[row] >= 0
    ids, scores = ranking.ids[row][kept], ranking.scores[row][kept]
    assert ranking.probabilities is not None
    return Ranking(ids[None], scores[None], None, ranking.probabilities[row][kept][None])


def _stacked(rows: Sequence[Ranking]) -> Ranking:
    """Return the results of several queries as one ranking with probabilities."""
    width = max((row.ids.shape[1] for row in rows), default=0)
    ids = np.full((len(rows), width), -1, np.int64)
    scores, probabilities = np.full(ids.shape, -np.inf, np.float32), np.full(ids.shape, np.nan, np.float32)
    for number, row in enumerate(rows):
        assert row.probabilities is not None
        count = row.ids.shape[1]
        ids[number, :count], scores[number, :count] = row.ids[0], row.scores[0]
        probabilities[number, :count] = row.probabilities[0]
    return Ranking(ids, scores, None, probabilities)
