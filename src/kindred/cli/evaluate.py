"""`kindred evaluate`: how good is a recipe on images of which the right answers are known?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import RERANKERS, AllowCode, AsJson, FusionName, Settings, chosen_recipe
from kindred.cli.output import columns, counted, dim, print_json, say, size
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.evaluation import Evaluation

__all__ = ["DatasetName", "Depth", "Distractors", "Images", "Partial", "evaluate", "left_out_note"]

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="How the folder is laid out: json, revisited, sop, cub, cars, oxford5k, paris6k, ukbench, holidays or "
        "classes. Default: told by what lies in it.",
    ),
]
Partial = Annotated[bool, typer.Option("--partial", help="Accept a published set that lacks images.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of the images. Default: where the ground truth has them."),
]
Distractors = Annotated[
    list[Path] | None,
    typer.Option("--distractors", metavar="DIR", help="Add the images of a folder as wrong answers; repeatable."),
]
Depth = Annotated[int, typer.Option("--depth", min=1, metavar="N", help="How many of the first answers are re-ranked.")]


def evaluate(
    groundtruth: Annotated[
        Path,
        typer.Argument(metavar="GROUNDTRUTH", help="A JSON file of right answers, or the folder of a known data set."),
    ],
    *,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", metavar="NAME|FILE", help="What to measure: see `kindred recipes`.")
    ] = "kin",
    settings: Settings = None,
    rerank: Annotated[
        str,
        typer.Option(
            "--rerank",
            metavar="NAMES",
            help=f"Re-rank the first answers: {RERANKERS}, or one after another: aqe:n=5,diffusion.",
        ),
    ] = "",
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="NAME|FILE", help="Rank by this recipe too, and fuse; repeatable."),
    ] = None,
    fusion: FusionName = "reciprocal_rank",
    depth: Annotated[
        int, typer.Option("--depth", min=1, metavar="N", help="How many of the first answers are re-ranked, or fused.")
    ] = 1000,
    distractors: Distractors = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Report this too: precision@K, recall@K, mAP@K, nDCG@K, mP@K, nDCG, MRR, MAP@R or R-precision; "
            "repeatable.",
        ),
    ] = None,
    dataset: DatasetName = None,
    partial: Partial = False,
    images: Images = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="Keep descriptions in this folder, for the next evaluation."),
    ] = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well a recipe finds the right images.

    Prints recall, mean average precision and what else the data set's protocol asks for, and what describing,
    searching and re-ranking cost.
    """
    from kindred.evaluation import evaluate as measure

    if also and rerank:
        raise UsageError("--rerank and --also contradict each other; fused answers are not re-ranked")
    advice = "run the same command again to start over" if cache is None else "run the same command again to go on"
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
    if found.skipped:
        say(dim(f"{counted(found.skipped, 'image')} could not be read and were left out"))
    parts = [("describing", found.seconds_describing), ("searching", found.seconds_searching)]
    parts += [("re-ranking", found.seconds_reranking)] if found.rerank else []
    listed = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in parts)
    once = f", and {found.seconds_preparing:.1f} s once for the database" if found.seconds_preparing else ""
    say(
        dim(
            f"{1e3 * found.seconds_per_image:.1f} ms and {size(found.bytes_per_image)} an image, "
            f"{1e3 * found.seconds_per_query:.1f} ms a query ({listed}){once}"
        )
    )


def left_out_note(queries: int) -> str:
    """Say how many queries were no answers to themselves."""
    if queries == 1:
        return "1 query is in the database and was left out of its own ranking"
    return f"{queries:,} queries are in the database and were left out of their own ranking"
