"""Re-ranking of search results: the re-rankers are checked first and applied after the search."""

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
"""Default number of results that are re-ranked."""


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
    """Return the best `k`, after the best `depth` were re-ranked.

    Raises UsageError where a re-ranker compares images and the query is not an image.
    """
    for name, needs in needs_of(steps):
        if needs != "vectors" and query.map_of is None:
            raise UsageError(f"search: re-ranker {name!r} compares images; give one image as the query")
    ranking = search.ranked(query, max(k, depth), where)
    return rerank(ranking, search.context(query, cache), steps).top(k)
