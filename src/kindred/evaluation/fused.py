"""Evaluation of late fusion: each recipe ranks the database, and the rankings are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kindred.errors import RecipeError, UsageError
from kindred.evaluation.describing import Progress
from kindred.evaluation.result import Evaluation
from kindred.fusion import FUSIONS, fuse
from kindred.hints import check_known
from kindred.ranking import Ranking
from kindred.rerank import Method

if TYPE_CHECKING:
    from kindred.evaluation.evaluate import Bench

__all__ = ["DEFAULT_FUSION", "check_fusion", "measure_fused"]

DEFAULT_FUSION = "reciprocal_rank"
"""It does not require comparable scores."""


def check_fusion(fusion: str, rerank: str | Sequence[Method] | None) -> None:
    """Raise RecipeError for an unknown fusion, UsageError if fused results are to be re-ranked."""
    if rerank and rerank != "none":
        raise UsageError("rerank and also contradict each other; fused results are not re-ranked")
    check_known("fusion", fusion, FUSIONS, error=RecipeError)


def measure_fused(
    benches: Sequence[Bench],
    fusion: str,
    *,
    depth: int,
    metrics: Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Fuse the first `depth` results of several recipes on one set, by a name of FUSIONS, and score.

    Images that are in none of these follow as ranked by the first recipe. The result is that of the first recipe and
    names the others; costs are sums over all recipes, and fusing counts as searching.
    """
    _describe(benches, progress)
    first, *others = searches = [bench.search() for bench in benches]

    def fused(ranking: Ranking, selected: slice) -> Ranking:
        return fuse([ranking, *(each.top_results(selected, depth=depth) for each in others)], fusion)

    ranks = benches[0].ranks(first.reranked(fused, depth=depth, by_words=False))
    found = [bench.result(search, ranks, metrics=metrics) for bench, search in zip(benches, searches, strict=True)]
    # The search time of the others is contained in the fusion time of the first.
    searching = found[0].seconds_searching + found[0].seconds_reranking
    describing = sum(each.seconds_describing for each in found)
    return replace(
        found[0],
        also=tuple(each.recipe.name for each in found[1:]),
        fusion=fusion,
        dimension=sum(each.dimension for each in found),
        bytes_per_image=sum(each.bytes_per_image for each in found),
        passes=sum(each.passes for each in found),
        seconds_per_image=sum(each.seconds_per_image for each in found),
        seconds_per_query=describing + searching,
        seconds_describing=describing,
        seconds_searching=searching,
        seconds_reranking=0.0,
    )


def _describe(benches: Sequence[Bench], progress: Progress | None) -> None:
    """Describe all images with each recipe, with one progress over all."""
    counts = [bench.to_describe for bench in benches]
    for number, bench in enumerate(benches):
        before = sum(counts[:number])

        def report(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, sum(counts))

        bench.work.begin(counts[number], report)
        _ = bench.described
