"""Options shared by several commands, and the parsing of their values."""

from __future__ import annotations

import os
from datetime import date
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindred.errors import LibraryNotFound, UsageError

if TYPE_CHECKING:
    from kindred.recipe import Recipe
    from kindred.store import Place
else:
    Place = object  # typer refuses a union, and `LibraryPlace` has a parser of its own

__all__ = [
    "DEFAULT_LIBRARY",
    "FUSIONS_HELP",
    "RERANKERS",
    "AllowCode",
    "AsJson",
    "Device",
    "ExistingLibrary",
    "FusionName",
    "IndexAddress",
    "LibraryPlace",
    "Licence",
    "MaxPixels",
    "RunsOn",
    "Seed",
    "Settings",
    "Threads",
    "Verbose",
    "Workers",
    "chosen_recipe",
    "names_reranker",
    "numbers",
    "parse_box",
    "parse_day",
    "place_named",
]

# The same as in `kindred.library`, which is too slow to import for a help text. A test checks that they agree.
DEFAULT_LIBRARY = Path(".kindred")
STORE = "store.sqlite"


def names_reranker(given: str | None) -> bool:
    """Return whether --rerank names re-rankers: not where it is left out, empty or "none"."""
    return given not in (None, "", "none")


def place_named(text: str | Path) -> Place:
    """Return the place of a library: a folder, or an address, of which a path would drop a slash."""
    if "://" not in str(text) and not str(text).lstrip().lower().startswith("postgres"):
        return Path(text)  # without loading the store: for a help text it is too slow
    from kindred.store import place_of

    return place_of(text)


def _existing(context: typer.Context, place: Place) -> Place:
    """Raise LibraryNotFound for a folder without a library, before modules are loaded that take half a second."""
    if isinstance(place, Path) and not context.resilient_parsing:
        folder = Path(os.path.abspath(place.expanduser()))  # noqa: PTH100 - as `kindred.library.absolute`
        try:
            (folder / STORE).lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise LibraryNotFound.in_folder(folder) from None
        except (OSError, ValueError):  # the store gives the reason
            return place
    return place


def _library_option(*, must_exist: bool) -> Any:
    return typer.Option(
        "--library",
        "-l",
        parser=place_named,
        callback=_existing if must_exist else None,
        metavar="DIR|URL",
        envvar="KINDRED_LIBRARY",
        help="The library: a folder, or an address such as postgresql://HOST/DATABASE?library=NAME.",
    )


LibraryPlace = Annotated[Place, _library_option(must_exist=False)]
ExistingLibrary = Annotated[Place, _library_option(must_exist=True)]
IndexAddress = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="URL",
        envvar="KINDRED_INDEX",
        help="A Milvus server that searches the vectors, such as milvus://HOST:PORT/COLLECTION.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe, such as pooling=crow; repeatable."),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Allow the recipe to run code outside Kindred (pooling = package.module:function)."
    ),
]
# The same as in `kindred.rerank` and `kindred.fusion`, repeated for the same reason; tests check that they agree.
RERANKERS = (
    "aqe, alpha_qe, dba, k_reciprocal, diffusion, offline_diffusion, spectral, isomap, superglobal, verify, calibrated"
)
FUSIONS_HELP = (
    "How rankings are fused: weighted_scores, mean_scores, reciprocal_rank, z_score, comb_mnz, borda, query_adaptive."
)
FusionName = Annotated[str, typer.Option("--fusion", metavar="NAME", help=FUSIONS_HELP)]
RunsOn = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", envvar="KINDRED_DEVICE", help="Where the network runs: cpu, cuda or cuda:1."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=32, metavar="N", help="Number of threads that decode images. Default: one per core."
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", min=1, max=2**31 - 1, metavar="N", help="Skip images with more pixels. Default: 200000000."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Random seed; the same seed gives the same network.")
]
Licence = Annotated[
    str,
    typer.Option(
        "--licence",
        metavar="TEXT",
        help="Licence to record in the model card; consider the licences of weights, teachers and images.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:1. Default: cuda if available.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, metavar="N", help="Number of CPU threads. Default: one per core.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="List every file instead of a few examples of each kind.")
]


def chosen_recipe(name: str | Path, settings: list[str] | None, *, allow_code: bool = False) -> Recipe:
    """Return the recipe of that name or file, with the keys of `--set` applied."""
    from kindred.recipe import Recipe

    recipe = Recipe.load(name, allow_code=allow_code)
    return recipe.with_settings(settings) if settings else recipe


def numbers(text: str, *, option: str, count: int, example: str) -> tuple[float, ...]:
    """Parse `count` numbers separated by commas; raises `UsageError` that names the option."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(isfinite, values)):
        raise UsageError(f"{option} is {text!r}; expected {count} numbers separated by commas, such as {example}")
    return values


def parse_box(text: str, *, option: str) -> tuple[float, float, float, float]:
    """Parse a box x0,y0,x1,y1 in pixels; raises `UsageError` if it is empty or malformed."""
    x0, y0, x1, y1 = numbers(text, option=option, count=4, example="40,30,360,410 (x0,y0,x1,y1 in pixels)")
    if x0 >= x1 or y0 >= y1:
        raise UsageError(f"{option} is {text!r}, which is empty; expected x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def parse_day(text: str | None, *, option: str) -> date | None:
    """Parse a day such as 2024-05-31; a month or year alone is ambiguous and is refused."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r}; expected a day such as 2024-05-31") from None
