"""`kindred evaluate`: measure a recipe on images with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import FUSIONS_HELP, RERANKERS, AllowCode, AsJson, Settings, chosen_recipe, names_reranker
from kindred.cli.output import columns, counted, dim, grouped, print_json, say, size
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.evaluation import Evaluation

__all__ = [
    "DatasetName",
    "Depth",
    "Distractors",
    "Images",
    "MetricNames",
    "Partial",
    "Regions",
    "evaluate",
    "left_out_note",
]

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Layout of the folder: json, revisited, sop, cub, cars, oxford5k, paris6k, ukbench, holidays, "
        "ilias or classes. Default: detected from its contents.",
    ),
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial",
        help="Accept missing images of a published data set, and leave out images of the database that cannot be used.",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of the images. Default: as given by the ground truth."),
]
Distractors = Annotated[
    list[Path] | None,
    typer.Option(
        "--distractors", metavar="DIR", help="Add the images of a folder to the database as distractors; repeatable."
    ),
]
MetricNames = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Also report this metric: precision@K, recall@K, mAP@K, nDCG@K, mP@K, nDCG, MRR, MAP@R or R-precision; "
        "repeatable.",
    ),
]
Regions = Annotated[
    bool | None,
    typer.Option(
        "--regions/--no-regions",
        help="Also search for parts of each query, if results have probabilities. Default: for small parts where no "
        "image probably shows the same thing, as `kindred search` does.",
        show_default=False,
    ),
]
Depth = Annotated[int, typer.Option("--depth", min=1, metavar="N", help="Number of results to re-rank.")]


def evaluate(
    groundtruth: Annotated[
        Path,
        typer.Argument(
            metavar="GROUNDTRUTH",
            help="A JSON file with the relevant images of each query, or the folder of a known data set.",
        ),
    ],
    *,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", metavar="NAME|FILE", help="Recipe to evaluate; see `kindred recipes`.")
    ] = "kin",
    settings: Settings = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="NAMES",
            help=f"Re-rank the first results by {RERANKERS}; several are applied in turn: aqe:n=5,diffusion. "
            "none: by descriptors alone. Default: calibrated, if the recipe has a calibration.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="NAME|FILE", help="Also rank by this recipe and fuse the rankings; repeatable."),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            "--fusion",
            metavar="NAME",
            help=f"{FUSIONS_HELP} Default: mean_scores of the probabilities, if all recipes have a calibration, "
            "otherwise reciprocal_rank.",
        ),
    ] = None,
    depth: Annotated[
        int, typer.Option("--depth", min=1, metavar="N", help="Number of results to re-rank or fuse.")
    ] = 1000,
    regions: Regions = None,
    distractors: Distractors = None,
    metrics: MetricNames = None,
    dataset: DatasetName = None,
    partial: Partial = False,
    images: Images = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="DIR", help="Store the descriptors in this folder and reuse them in the next evaluation."
        ),
    ] = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a recipe on images with ground truth.

    Prints recall, mean average precision and the other metrics of the data set's protocol, and the time and memory of
    description, search and re-ranking.
    """
    from kindred.evaluation import evaluate as measure

    if also and names_reranker(rerank):
        raise UsageError("--rerank and --also cannot be combined; fused results are not re-ranked")
    advice = "run the same command again to start over" if cache is None else "run the same command again to continue"
    with interruptible(advice), Meter("Measuring", unit="steps", quiet=as_json) as meter:
        found = measure(
            groundtruth,
            recipe=chosen_recipe(recipe, settings, allow_code=allow_code),
            rerank=rerank,
            also=[chosen_recipe(each, None, allow_code=allow_code) for each in also or []],
            fusion=fusion,
            depth=depth,
            distractors=distractors or [],
            metrics=metrics or [],
            regions=regions,
            dataset=dataset,
            partial=partial,
            images=images,
            cache=cache,
            progress=lambda done, total: meter.update(done, total),
        )
    if as_json:
        from kindred.service import EvaluationForm

        print_json(EvaluationForm(found))
    else:
        print_summary(found)


def print_summary(found: Evaluation) -> None:
    say(columns([(name, f"{value:.3f}") for name, value in found.metrics.items()], heads=(found.name, ""), right=(1,)))
    queries = f"{found.queries:,} {'query' if found.queries == 1 else 'queries'}"
    added = f" ({found.distractors:,} of them distractors)" if found.distractors else ""
    say(dim(f"{queries}, {counted(found.images, 'image')}{added}, recipe {found.label}"))
    if found.left_out_of_own_ranking:
        say(dim(left_out_note(found.left_out_of_own_ranking)))
    if found.queries_with_regions:
        say(dim(f"regions were searched as well for {found.queries_with_regions:,} of {queries}"))
    if found.skipped:
        say(f"Left out {counted(found.skipped, 'image')} that could not be used:")
        say(grouped([(Path(path), reason) for path, reason in found.skipped_images], option="--json"))
    parts = [("describing", found.seconds_describing), ("searching", found.seconds_searching)]
    parts += [("re-ranking", found.seconds_reranking)] if found.rerank else []
    parts += [("regions", found.seconds_regions)] if found.queries_with_regions else []
    listed = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in parts)
    once = f", and {found.seconds_preparing:.1f} s once for the database" if found.seconds_preparing else ""
    say(
        dim(
            f"{1e3 * found.seconds_per_image:.1f} ms and {size(found.bytes_per_image)} per image, "
            f"{1e3 * found.seconds_per_query:.1f} ms per query ({listed}){once}"
        )
    )


def left_out_note(queries: int) -> str:
    """Report how many queries were left out of their own ranking."""
    if queries == 1:
        return "1 query is in the database and was left out of its own ranking"
    return f"{queries:,} queries are in the database and were left out of their own ranking"
