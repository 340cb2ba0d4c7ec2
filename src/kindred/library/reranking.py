"""Re-ranking of search results: the re-rankers are checked first and applied after the search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isnan
from numbers import Real
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kindred.errors import UsageError
from kindred.index import CANDIDATES
from kindred.library.query import DescribedQuery
from kindred.library.searching import FeaturesOf, Further
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Filter

if TYPE_CHECKING:
    from kindred.rerank import Context, Method, RerankCache
    from kindred.rerank.context import Verified

__all__ = ["DEPTH", "CandidateSearch", "check_limits", "compare_images", "gives_probabilities", "reranked", "steps_for"]

DEPTH = CANDIDATES
"""Default number of results that are re-ranked."""
REGION_DEPTH = 24
"""The most candidates of one of several regions, where results have probabilities or no more results are requested."""


class CandidateSearch(Protocol):
    """The search whose candidates are re-ranked, as `Searcher`, whose methods these are."""

    def candidates(
        self, query: DescribedQuery, k: int, depth: int, where: Filter | None
    ) -> tuple[Ranking, Further | None]:
        """Return the candidates of a query, at least `k`, and what returns further ones, if there are any."""
        ...

    def context(
        self,
        query: DescribedQuery,
        cache: RerankCache | None,
        verified: Verified,
        features: FeaturesOf,
        *,
        further: Further | None = None,
    ) -> Context:
        """Return the data for re-rankers."""
        ...


def steps_for(recipe: Recipe, methods: str | Sequence[Method] | None) -> list[Method]:
    """Return re-rankers one by one; None is the recipe's own, "calibrated" where it has a calibration.

    Raises RecipeError for one that is unknown or needs what images described by `recipe` do not have.
    """
    if not methods and (methods is not None or not recipe.calibration):
        return []
    from kindred.rerank.needs import check_needs, steps_or_default  # here: most searches re-rank nothing

    steps = steps_or_default(methods, recipe)
    check_needs(steps, recipe, images_at_hand=True)
    return steps


def compare_images(steps: Sequence[Method]) -> bool:
    """Return whether a re-ranker compares more than vectors, so that the query has to be an image."""
    if not steps:
        return False
    from kindred.rerank.needs import needs_of

    return any(needs in ("features", "maps") for _, needs in needs_of(steps))


def gives_probabilities(steps: Sequence[Method]) -> bool:
    """Return whether the re-rankers give results a probability."""
    if not steps:
        return False
    from kindred.rerank.needs import is_calibrated

    return is_calibrated(steps)


def check_limits(
    min_score: float | None, min_probability: float | None, steps: Sequence[Method], recipe: Recipe
) -> None:
    """Raise UsageError for limits that are no numbers, or for a probability if results have none."""
    if min_score is not None and (not isinstance(min_score, Real) or isnan(min_score)):
        raise UsageError(f"min_score is {min_score!r}; expected a number")
    if min_probability is None:
        return
    if not isinstance(min_probability, Real) or not 0 <= min_probability <= 1:
        raise UsageError(f"min_probability is {min_probability!r}; expected a number from 0 to 1")
    if not gives_probabilities(steps):
        why = "negative examples and other re-rankers give none" if recipe.calibration else "it has no calibration"
        raise UsageError(
            f"min_probability needs the probability of each result, and recipe {recipe.name!r} gives none here "
            f"({why}); use min_score"
        )


def reranked(
    search: CandidateSearch,
    query: DescribedQuery,
    k: int,
    steps: Sequence[Method],
    *,
    where: Filter | None,
    depth: int,
    cache: RerankCache | None,
    features: FeaturesOf,
) -> Ranking:
    """Return the best `k` after re-ranking the best `depth` candidates (`Searcher.candidates`).

    A query that was described lazily is looked at again until results are ordered by probability and what was seen
    decides; only after the last look are there further candidates, and none for one of several regions. Where results
    have probabilities, an image of the library is found first in a search for itself, and is no evidence of what the
    others show: none is as similar to it as itself. Raises UsageError if a re-ranker compares images and the query is
    not an image. features: those of images, read once for a query and its regions.
    """
    from kindred.rerank import rerank
    from kindred.rerank.context import Verified
    from kindred.rerank.needs import needs_of

    for name, needs in needs_of(steps):
        if needs in ("features", "maps") and query.map_of is None:
            raise UsageError(f"search: re-ranker {name!r} compares images; give one image as the query")
    verified = Verified()
    own = query.own if gives_probabilities(steps) else None
    depth = min(depth, REGION_DEPTH) if query.one_of > 1 else depth
    # The probability of a result depends on the candidates, and must not on how many results are requested.
    count = min(k, depth // 2) if query.one_of > 1 and gives_probabilities(steps) else k

    def once(query: DescribedQuery) -> Ranking:
        found, further = search.candidates(query, count, depth, where)
        further = None if query.again is not None or query.one_of > 1 else further
        context = partial(search.context, query, cache, verified, features)
        if own is None or own not in found.ids:
            return rerank(found, context(further=further), steps).top(k)
        # It was found, and nothing else has to be.
        return _with_own(rerank(_without(found, own), context(), steps), own).top(k)

    if len(steps) == 1 and gives_probabilities(steps):
        from kindred.rerank.calibrated import is_first_look_enough

        while query.again is not None:
            ranking = once(query)
            if is_first_look_enough(verified):
                return ranking
            if query.stored:  # the next look is a first one, too
                verified.clear()
            query = query.looked_again()
    return once(query.looked_at_all())


def _without(ranking: Ranking, own: int) -> Ranking:
    """Return the ranking of one query without an id that is in it."""
    others = ranking.ids[0] != own
    boxes = None if ranking.boxes is None else ranking.boxes[:, others]
    return Ranking(ranking.ids[:, others], ranking.scores[:, others], boxes)


def _with_own(ranking: Ranking, own: int) -> Ranking:
    """Return the ranking of one query with its own image first, which certainly shows the same thing."""
    score = max(1.0, float(ranking.scores.max(initial=0.0)))
    boxes, probabilities = ranking.boxes, ranking.probabilities
    return Ranking(
        np.insert(ranking.ids, 0, own, axis=1),
        np.insert(ranking.scores, 0, score, axis=1),
        None if boxes is None else np.insert(boxes, 0, np.nan, axis=1),
        None if probabilities is None else np.insert(probabilities, 0, 1.0, axis=1),
    )
