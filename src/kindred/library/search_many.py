"""Search several libraries of the same images, described by different recipes, and fuse their results (late fusion)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kindred.errors import RecipeError, UsageError
from kindred.fusion import FUSIONS, fuse
from kindred.hints import check_known, check_type
from kindred.library.library import Library
from kindred.library.query import Query
from kindred.library.results import Hit, Results
from kindred.ranking import Ranking
from kindred.store import Box, Filter

if TYPE_CHECKING:
    from kindred.rerank import Method

__all__ = ["DEFAULT_FUSION", "search_many"]

DEFAULT_FUSION = "reciprocal_rank"
"""The default, because it does not need comparable scores."""

DEPTH = 200
"""Minimum number of results of each library that are fused."""


def search_many(
    libraries: Sequence[Library],
    query: Query,
    *,
    k: int = 10,
    box: Box | None = None,
    where: Filter | None = None,
    fusion: str = DEFAULT_FUSION,
    rerank: str | Sequence[Method] | None = None,
) -> Results:
    """Search several libraries and return the `k` best images of the fused rankings.

    Images are identified by their paths; an image that is only in some of the libraries is ranked by those. `fusion` is
    a name of `kindred.fusion.FUSIONS`, which also defines the scores. `rerank` is applied in each library first, as in
    `Library.search`; the probability of a result is the largest of those in the libraries. The ids of the results are
    arbitrary numbers. Regions of the query are not searched. Other arguments and errors are those of `Library.search`;
    raises `RecipeError` for an unknown fusion.
    """
    check_type("libraries", libraries, Sequence, "a list of Library objects")
    for library in libraries:
        check_type("a library", library, Library, "an open Library")
    if not libraries:
        raise UsageError("search: no library; give at least one")
    check_known("fusion", fusion, FUSIONS, error=RecipeError)
    began = time.monotonic()
    searched = [
        library.search(query, k=max(k, DEPTH), box=box, where=where, rerank=rerank, regions=False)
        for library in libraries
    ]
    numbers: dict[Path, int] = {}
    hits: dict[int, Hit] = {}
    probabilities: dict[int, float] = {}
    for hit in (hit for results in searched for hit in results):
        number = numbers.setdefault(hit.path, len(numbers))
        # The box is that of the best rank; on equal ranks, that of the first library.
        if number not in hits or hit.rank < hits[number].rank:
            hits[number] = hit
        if hit.probability is not None:
            probabilities[number] = max(hit.probability, probabilities.get(number, 0.0))
    fused = fuse([_ranking(results, numbers) for results in searched], fusion).top(k)
    found = [(int(number), float(score)) for number, score in zip(fused.ids[0], fused.scores[0], strict=True)]
    ranked = [(number, score) for number, score in found if number >= 0]
    return Results(
        tuple(
            replace(hits[number], rank=rank, score=score, probability=probabilities.get(number))
            for rank, (number, score) in enumerate(ranked, 1)
        ),
        np.array([number for number, _ in ranked], np.int64),
        np.array([score for _, score in ranked], np.float32),
        time.monotonic() - began,
    )


def _ranking(results: Results, numbers: dict[Path, int]) -> Ranking:
    ids = np.array([[numbers[hit.path] for hit in results]], np.int64)
    return Ranking(ids, results.scores[None])
