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
OF_PROBABILITIES = "mean_scores"
"""The default fusion of calibrated rankings."""


def check_fusion(fusion: str | None, rerank: str | Sequence[Method] | None) -> None:
    """Raise RecipeError for an unknown fusion, UsageError if fused results are to be re-ranked."""
    if rerank and rerank != "none":
        raise UsageError("rerank and also contradict each other; fused results are not re-ranked")
    if fusion is not None:
        check_known("fusion", fusion, FUSIONS, error=RecipeError)


def measure_fused(
    benches: Sequence[Bench],
    fusion: str | None,
    *,
    depth: int,
    calibrated: bool,
    metrics: Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Fuse the first `depth` results of several recipes on one set, by a name of FUSIONS, and score.

    With `calibrated`, and if all recipes have a calibration, the candidates of each are first ordered by their
    probability, as in a search; these probabilities are then fused. `fusion` None is the mean of probabilities, or
    `DEFAULT_FUSION` of other scores. Images that are in none of the results follow as ranked by the first recipe. The
    result is that of the first recipe and names the others; costs are sums over all recipes, and fusing counts as
    searching.
    """
    calibrated = calibrated and all(bench.describer.fitted.calibration is not None for bench in benches)
    chosen = fusion or (OF_PROBABILITIES if calibrated else DEFAULT_FUSION)
    _describe(benches, progress)
    searches = [bench.search() for bench in benches]

    def fused(ranking: Ranking, selected: slice) -> Ranking:
        rest = [each.first_results(selected, depth=depth, by_words=calibrated) for each in searches[1:]]
        rankings = [ranking, *rest]
        if calibrated:
            pairs = zip(benches, searches, rankings, strict=True)
            rankings = [bench.calibrated(search, each, selected) for bench, search, each in pairs]
        return fuse(rankings, chosen)

    ranks = benches[0].ranks(searches[0].reranked(fused, depth=depth, by_words=calibrated))
    found = [bench.result(search, ranks, metrics=metrics) for bench, search in zip(benches, searches, strict=True)]
    # The search time of the others is contained in the fusion time of the first.
    searching = found[0].seconds_searching + found[0].seconds_reranking
    describing = sum(each.seconds_describing for each in found)
    return replace(
        found[0],
        also=tuple(each.recipe.name for each in found[1:]),
        fusion=chosen,
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
