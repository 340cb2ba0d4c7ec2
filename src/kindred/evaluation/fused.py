"""Late fusion in an evaluation: each recipe ranks the database, and the rankings become one."""

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
"""The one that needs no scores to be comparable."""


def check_fusion(fusion: str, rerank: str | Sequence[Method]) -> None:
    """Raise RecipeError for an unknown fusion, UsageError where fused answers are to be re-ranked."""
    if rerank:
        raise UsageError("rerank and also contradict each other; fused answers are not re-ranked")
    check_known("fusion", fusion, FUSIONS, error=RecipeError)


def measure_fused(
    benches: Sequence[Bench],
    fusion: str,
    *,
    depth: int,
    metrics: Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Fuse the first `depth` answers of several recipes on one set, by a name of FUSIONS, and score.

    What none of them has among these follows as the first recipe ranks it. The result is that of the first recipe,
    which names the others; costs are the sums of all, and fusing counts as searching.
    """
    _describe(benches, progress)
    first, *others = searches = [bench.search() for bench in benches]

    def fused(ranking: Ranking, asked: slice) -> Ranking:
        return fuse([ranking, *(each.heads(asked, depth=depth) for each in others)], fusion)

    ranks = benches[0].ranks(first.reranked(fused, depth=depth))
    told = [bench.told(search, ranks, metrics=metrics) for bench, search in zip(benches, searches, strict=True)]
    # What the others took to search lies within what the first took to fuse.
    searching = told[0].seconds_searching + told[0].seconds_reranking
    describing = sum(each.seconds_describing for each in told)
    return replace(
        told[0],
        also=tuple(each.recipe.name for each in told[1:]),
        fusion=fusion,
        dimension=sum(each.dimension for each in told),
        bytes_per_image=sum(each.bytes_per_image for each in told),
        passes=sum(each.passes for each in told),
        seconds_per_image=sum(each.seconds_per_image for each in told),
        seconds_per_query=describing + searching,
        seconds_describing=describing,
        seconds_searching=searching,
        seconds_reranking=0.0,
    )


def _describe(benches: Sequence[Bench], progress: Progress | None) -> None:
    """Describe all images with each recipe, counting the steps of all together."""
    counts = [bench.to_describe for bench in benches]
    for number, bench in enumerate(benches):
        before = sum(counts[:number])

        def told(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, sum(counts))

        bench.work.begin(counts[number], told)
        _ = bench.described
