"""`kindred compare`: quality and cost of several recipes on the same images, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.evaluate import DatasetName, Depth, Distractors, Images, MetricNames, Partial, Regions, left_out_note
from kindred.cli.options import AllowCode, AsJson, chosen_recipe
from kindred.cli.output import bold, columns, dim, note, print_json, say, shown, size
from kindred.cli.progress import Meter
from kindred.cli.running import FAILED, interruptible

if TYPE_CHECKING:
    from kindred.evaluation import Evaluation
    from kindred.evaluation.compare import Failure

__all__ = ["compare"]


def compare(
    groundtruths: Annotated[
        list[Path],
        typer.Argument(
            metavar="GROUNDTRUTH...",
            help="JSON files with the relevant images of each query, or folders of known data sets.",
        ),
    ],
    *,
    recipes: Annotated[
        str,
        typer.Option(
            "--recipes", "-r", metavar="A,B,…", help="Recipes to compare: names and recipe files, separated by commas."
        ),
    ],
    rerank: Annotated[
        list[str] | None,
        typer.Option("--rerank", metavar="NAMES", help="Also evaluate each recipe with these re-rankers; repeatable."),
    ] = None,
    depth: Depth = 1000,
    regions: Regions = None,
    distractors: Distractors = None,
    metrics: MetricNames = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Plot quality against cost, as .png, .svg or .pdf."),
    ] = None,
    cost: Annotated[
        str,
        typer.Option("--cost", metavar="NAME", help="Cost axis of the plot: query, image, bytes or passes."),
    ] = "query",
    dataset: DatasetName = None,
    partial: Partial = False,
    images: Images = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Store descriptors and results in this folder, to resume an interrupted comparison.",
        ),
    ] = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Compare the quality and cost of recipes.

    Prints a table for each data set, best recipe first. A recipe that fails is reported, and the others continue.
    """
    from kindred.evaluation import compare as measure
    from kindred.evaluation.plot import check_plot, plot_costs

    if output is not None:
        check_plot(output, cost)  # before the evaluation, which may take hours
    failures: list[Failure] = []
    names = [name.strip() for name in recipes.split(",") if name.strip()]
    # Names are passed on, so that an unreadable recipe is reported as a failure; only loaded recipes may run code.
    chosen = [chosen_recipe(name, None, allow_code=True) for name in names] if allow_code else names
    advice = (
        "nothing was saved (use --cache to save results)" if cache is None else "run the same command again to continue"
    )
    with interruptible(advice), Meter("Comparing", unit="steps", quiet=as_json) as meter:
        found = measure(
            groundtruths,
            chosen,
            rerank=rerank or [],
            depth=depth,
            distractors=distractors or [],
            metrics=metrics or [],
            regions=regions,
            dataset=dataset,
            partial=partial,
            images=images,
            cache=cache,
            progress=lambda what, done, total: meter.update(done, total, aside=what),
            failed=failures.append,
        )
    if as_json:
        from kindred.service import ComparisonForm

        print_json(ComparisonForm.of(found, failures))
    else:
        print_summary(found, metrics or [])
    if output is not None and found:
        plot_costs(found, output, cost=cost)
    if output is not None and found and not as_json:
        say(dim(f"Plot: {shown(output)}"))
    for failure in failures:
        note(f"kindred: {failure.label} on {failure.name} failed: {failure.error}")
    if failures:
        raise typer.Exit(FAILED)


def print_summary(found: list[Evaluation], metrics: Sequence[str]) -> None:
    for number, name in enumerate(dict.fromkeys(each.name for each in found)):
        rows = [each for each in found if each.name == name]
        added = f", {rows[0].distractors:,} of them distractors" if rows[0].distractors else ""
        say(bold(f"{name}: {rows[0].queries:,} queries, {rows[0].images:,} images{added}"), gap=number > 0)
        if rows[0].left_out_of_own_ranking:
            say(dim(left_out_note(rows[0].left_out_of_own_ranking)))
        shown_metrics = list(dict.fromkeys((rows[0].main, "recall@1", *metrics)))
        heads = ("recipe", *shown_metrics, "dimension", "size", "passes", "ms per image", "ms per query")
        say(columns([_row(each, shown_metrics) for each in rows], heads=heads, right=range(1, len(heads))))


def _row(found: Evaluation, metrics: Sequence[str]) -> tuple[str, ...]:
    return (
        found.label,
        *(f"{found.metrics[name]:.3f}" for name in metrics),
        f"{found.dimension:,}",
        size(found.bytes_per_image),
        f"{found.passes:.4g}",
        f"{1e3 * found.seconds_per_image:.1f}",
        f"{1e3 * found.seconds_per_query:.1f}",
    )
