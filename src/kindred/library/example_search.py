"""Searching a library with several examples, and again with answers that were marked as right or wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kindred.arrays import check_whole
from kindred.library.examples import (
    MOST_FURTHER,
    Example,
    added,
    doubted,
    image_numbers,
    marked,
    moved_apart,
)
from kindred.library.paths import located_filter
from kindred.library.query import DescribedQuery, names_image
from kindred.library.query_regions import union_of, with_regions
from kindred.library.reranking import DEPTH, check_limits, compare_images, gives_probabilities, reranked, steps_for
from kindred.library.results import Results
from kindred.library.search import Searching, limited, results_of
from kindred.library.stored_query import stored_query
from kindred.ranking import Ranking
from kindred.store import Filter

if TYPE_CHECKING:
    from kindred.rerank import Method

__all__ = ["ExampleSearching"]


class ExampleSearching(Searching):
    """The methods of a library that search it with several examples."""

    def describe_example(self, example: Example, *, rerank: str | Sequence[Method] | None = None) -> DescribedQuery:
        """Describe an example, once for several calls of `rank_examples` with these re-rankers.

        An image of the library is described by what is stored of it where that is enough, as in `search`.
        """
        described = self._described(example.query, example.box, steps_for(self.recipe, rerank))
        if described.image is None and names_image(example.query) and not self.recipe.multi_vector:
            return stored_query(self.store, self.recipe, example.query)  # without a file, but with its keypoints
        return described

    def search_examples(
        self,
        examples: Sequence[Example],
        *,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
        k: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        rerank: str | Sequence[Method] | None = None,
        depth: int = DEPTH,
        regions: bool | None = None,
    ) -> Results:
        """Find the `k` images most similar to several examples, each wanted or not, and to answers that were right.

        Examples are combined by the weighted sum of their descriptors. `right` and `wrong` are the ids of images of the
        library that an earlier search found; `right` alone will do. All of them move the query (Rocchio 1971), right
        ones are searched for too, and what probably shows the same thing as a wrong one ranks lower. Other arguments,
        and the default of `rerank`, are those of `search`: with examples of negative weight, descriptors alone.
        """
        began = time.monotonic()
        if rerank is None and any(each.weight < 0 for each in examples):
            rerank = ()  # as `search` with negative examples
        steps = steps_for(self.recipe, rerank)
        check_limits(min_score, min_probability, steps, self.recipe)
        described = [self.describe_example(each, rerank=rerank) for each in examples]
        ranking = self.rank_examples(
            described,
            [each.weight for each in examples],
            right=right,
            wrong=wrong,
            k=k,
            where=where,
            rerank=rerank,
            depth=depth,
            regions=regions,
        )
        return limited(self.results_of(ranking, began=began), min_score, min_probability)

    def rank_examples(
        self,
        described: Sequence[DescribedQuery],
        weights: Sequence[float],
        *,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
        k: int = 10,
        where: Filter | None = None,
        rerank: str | Sequence[Method] | None = None,
        depth: int = DEPTH,
        regions: bool | None = None,
    ) -> Ranking:
        """Return the ranking behind `search_examples`, for examples that were described before."""
        check_whole(k=k, depth=depth)
        steps = steps_for(self.recipe, rerank)
        where = None if where is None else located_filter(where)
        searcher = self.searcher
        features = searcher.features()
        query = added(described, weights) if described else None
        rights, wrongs = ([stored_query(self.store, self.recipe, each) for each in ids] for ids in (right, wrong))
        depth = max(depth, k)
        count = depth if rights or wrongs else k  # marked answers change the order of what is at hand

        def ranked(each: DescribedQuery) -> Ranking:
            able = steps if each.map_of is not None else [step for step in steps if not compare_images([step])]
            if not able:
                return searcher.ranked(each, count, where)
            cache = self.rerank_cache
            return reranked(searcher, each, count, able, where=where, depth=depth, cache=cache, features=features)

        ranking = union_of([ranked(each) for each in marked(query, rights, wrongs)])
        if query is not None:
            calibrated = gives_probabilities(steps)
            ranking = with_regions(
                ranking, query, lambda: self.describer, ranked, regions=regions, calibrated=calibrated
            )
        numbers = [image_numbers(self.store, ids).tolist() for ids in (right, wrong)]
        if gives_probabilities(steps) and (right or wrong):
            doubts = [ranked(each) for each in wrongs[-MOST_FURTHER:]]
            ranking = doubted(ranking, doubts, right_ids=numbers[0], wrong_ids=numbers[1])
        elif wrongs and not steps:
            ranking = moved_apart(ranking, searcher, wrongs, wrong_ids=numbers[1])
        return ranking.top(k)

    def results_of(self, ranking: Ranking, *, began: float | None = None) -> Results:
        """Return the hits of the first query of a ranking, ranked from 1; `began`: the start on the monotonic clock."""
        return results_of(self.searcher, ranking, time.monotonic() if began is None else began)
