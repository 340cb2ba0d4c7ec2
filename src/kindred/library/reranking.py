"""Re-ranking the answers of a library: what is asked for is checked before, and done after the search."""

from __future__ import annotations

from collections.abc import Sequence

from kindred.errors import UsageError
from kindred.library.query import DescribedQuery
from kindred.library.searching import Searcher
from kindred.ranking import Ranking
from kindred.rerank import Method, RerankCache, rerank
from kindred.rerank.needs import needs_of
from kindred.store import Filter

__all__ = ["DEPTH", "reranked"]

DEPTH = 100
"""How many answers are re-ranked, at least."""


def reranked(
    search: Searcher,
    asked: DescribedQuery,
    k: int,
    steps: Sequence[Method],
    *,
    where: Filter | None,
    depth: int,
    cache: RerankCache | None,
) -> Ranking:
    """Return the best `k`, after the best `depth` were re-ranked.

    Raises UsageError where a re-ranker compares images and the question is not one.
    """
    for name, needs in needs_of(steps):
        if needs != "vectors" and asked.map_of is None:
            raise UsageError(f"search: re-ranker {name!r} compares images; give one image to look for")
    ranking = search.ranked(asked, max(k, depth), where)
    return rerank(ranking, search.context(asked, cache), steps).top(k)
