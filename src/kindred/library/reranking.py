"""Re-ranking the answers of a library: what is asked for is checked before, and done after the search."""

from __future__ import annotations

from collections.abc import Sequence

from kindred.catalogue import Filter
from kindred.errors import UsageError
from kindred.library.asking import Asked
from kindred.library.searching import Search
from kindred.ranking import Ranking
from kindred.rerank import Method, Prepared, rerank
from kindred.rerank.needs import needs_of

__all__ = ["DEPTH", "reranked"]

DEPTH = 100
"""How many answers are re-ranked, at least."""


def reranked(
    search: Search,
    asked: Asked,
    k: int,
    steps: Sequence[Method],
    *,
    where: Filter | None,
    depth: int,
    prepared: Prepared | None,
) -> Ranking:
    """Return the best `k`, after the best `depth` were re-ranked.

    Raises UsageError where a re-ranker compares images and the question is not one.
    """
    for name, needs in needs_of(steps):
        if needs != "vectors" and asked.map_of is None:
            raise UsageError(f"search: re-ranker {name!r} compares images; give one image to look for")
    ranking = search.ranked(asked, max(k, depth), where)
    return rerank(ranking, search.context(asked, prepared), steps).top(k)
