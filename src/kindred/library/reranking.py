"""Re-ranking of search results: the re-rankers are checked first and applied after the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kindred.errors import UsageError
from kindred.index import CANDIDATES
from kindred.library.query import DescribedQuery
from kindred.library.searching import Searcher
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Filter

if TYPE_CHECKING:
    from kindred.rerank import Method, RerankCache

__all__ = ["DEPTH", "compare_images", "reranked", "steps_for"]

DEPTH = CANDIDATES
"""Default number of results that are re-ranked."""


def steps_for(recipe: Recipe, methods: str | Sequence[Method]) -> list[Method]:
    """Return re-rankers one by one.

    Raises RecipeError for one that is unknown or needs what images described by `recipe` do not have.
    """
    if not methods:
        return []
    from kindred.rerank.needs import check_needs, steps_of  # here: most searches re-rank nothing

    steps = steps_of(methods)
    check_needs(steps, recipe, images_at_hand=True)
    return steps


def compare_images(steps: Sequence[Method]) -> bool:
    """Return whether a re-ranker compares more than vectors."""
    if not steps:
        return False
    from kindred.rerank.needs import needs_of

    return any(needs != "vectors" for _, needs in needs_of(steps))


def reranked(
    search: Searcher,
    query: DescribedQuery,
    k: int,
    steps: Sequence[Method],
    *,
    where: Filter | None,
    depth: int,
    cache: RerankCache | None,
) -> Ranking:
    """Return the best `k` after re-ranking the best `depth` candidates (`Searcher.candidates`).

    Raises UsageError if a re-ranker compares images and the query is not an image.
    """
    from kindred.rerank import rerank
    from kindred.rerank.needs import needs_of

    for name, needs in needs_of(steps):
        if needs != "vectors" and query.map_of is None:
            raise UsageError(f"search: re-ranker {name!r} compares images; give one image as the query")
    ranking = search.candidates(query, k, depth, where)
    return rerank(ranking, search.context(query, cache), steps).top(k)
