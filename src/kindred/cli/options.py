"""What several commands take alike, and how the texts that people type become values."""

from __future__ import annotations

from datetime import date
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.recipe import Recipe

__all__ = [
    "DEFAULT_LIBRARY",
    "RERANKERS",
    "AllowCode",
    "AsJson",
    "Device",
    "FusionName",
    "LibraryFolder",
    "Licence",
    "MaxPixels",
    "RunsOn",
    "Seed",
    "Settings",
    "Threads",
    "Verbose",
    "Workers",
    "chosen_recipe",
    "numbers",
    "parse_box",
    "parse_day",
]

# That of `kindred.library`, which takes too long to import for a page of help. A test holds the two together.
DEFAULT_LIBRARY = Path(".kindred")

LibraryFolder = Annotated[
    Path,
    typer.Option(
        "--library",
        "-l",
        metavar="DIR",
        envvar="KINDRED_LIBRARY",
        help="The library: a folder that Kindred keeps its descriptions in.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe, as in pooling=crow; repeatable."),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Run code outside Kindred that the recipe names (pooling = package.module:function)."
    ),
]
# Those of `kindred.rerank` and `kindred.fusion`, for the same reason; tests hold them together.
RERANKERS = "aqe, alpha_qe, dba, k_reciprocal, diffusion, offline_diffusion, spectral, isomap, verify"
FusionName = Annotated[
    str,
    typer.Option(
        "--fusion",
        metavar="NAME",
        help="How rankings are fused: weighted_scores, reciprocal_rank, z_score, comb_mnz, borda, query_adaptive.",
    ),
]
# Of the commands that train.
RunsOn = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", envvar="KINDRED_DEVICE", help="Where the network runs: cpu, cuda or cuda:1."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=32, metavar="N", help="Threads that decode. Default: one for each core."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", min=1, max=2**31 - 1, metavar="N", help="Skip images with more pixels. Default: 200000000."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="The same seed gives the same network.")]
Licence = Annotated[
    str, typer.Option("--licence", metavar="TEXT", help="For the card; mind those of weights, teachers and images.")
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:1. Default: cuda where there is one.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, metavar="N", help="How many to use. Default: one per core.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List every file, not only a few of each kind.")]


def chosen_recipe(name: str | Path, settings: list[str] | None, *, allow_code: bool = False) -> Recipe:
    """Return the recipe of that name or file with the keys changed that `--set` names."""
    from kindred.recipe import Recipe

    recipe = Recipe.load(name, allow_code=allow_code)
    return recipe.with_settings(settings) if settings else recipe


def numbers(text: str, *, option: str, count: int, example: str) -> tuple[float, ...]:
    """Read `count` numbers with commas between; raises `UsageError` that names the option."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(isfinite, values)):
        raise UsageError(f"{option} is {text!r}; expected {count} numbers with commas between, such as {example}")
    return values


def parse_box(text: str, *, option: str) -> tuple[float, float, float, float]:
    """Read a box x0,y0,x1,y1 in pixels; raises `UsageError` where it is empty or no box."""
    x0, y0, x1, y1 = numbers(text, option=option, count=4, example="40,30,360,410 (x0,y0,x1,y1 in pixels)")
    if x0 >= x1 or y0 >= y1:
        raise UsageError(f"{option} is {text!r}, which is empty; expected x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def parse_day(text: str | None, *, option: str) -> date | None:
    """Read a day such as 2024-05-31; a month or a year alone would be taken for its first day, so it is refused."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r}; expected a day such as 2024-05-31") from None
