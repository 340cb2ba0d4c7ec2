"""`kindred evaluate`: how good is a recipe on images of which the right answers are known?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import AsJson
from kindred.cli.output import columns, dim, print_json, say
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible

if TYPE_CHECKING:
    from kindred.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    groundtruth: Annotated[
        Path, typer.Argument(metavar="GROUNDTRUTH.json", help="Which images are right for which query.")
    ],
    *,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", metavar="NAME|FILE", help="What to measure: see `kindred recipes`.")
    ] = "kin",
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder of the images. Default: that of the ground truth."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="Keep descriptions in this folder, for the next evaluation."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well a recipe finds the right images.

    Prints recall, mean average precision and their like, and what describing and searching cost.
    """
    from kindred.evaluation import evaluate as measure

    advice = "run the same command again to start over" if cache is None else "run the same command again to go on"
    with interruptible(advice), Meter("Describing", quiet=as_json) as meter:
        found = measure(
            groundtruth,
            recipe=recipe,
            images=images,
            cache=cache,
            progress=lambda done, total: meter.update(done, total),
        )
    if as_json:
        print_json(found.as_dict())
    else:
        _tell(found)


def _tell(found: Evaluation) -> None:
    say(columns([(name, f"{value:.3f}") for name, value in found.metrics.items()], heads=(found.name, ""), right=(1,)))
    cost = f"{1000 * found.seconds_per_image:.1f} ms an image, {1000 * found.seconds_per_query:.1f} ms a query"
    queries = f"{found.queries:,} {'query' if found.queries == 1 else 'queries'}"
    say(dim(f"{queries}, recipe {found.recipe.name}, {cost}"))
