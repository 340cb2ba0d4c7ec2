"""`kindred search`: find the images that show the same object as a query image."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.groups import FilterOptions, RankingOptions, with_groups
from kindred.cli.loading import modules_loading
from kindred.cli.options import (
    DEFAULT_LIBRARY,
    AllowCode,
    AsJson,
    FusionName,
    LibraryPlace,
    RunsOn,
    parse_box,
)
from kindred.cli.output import (
    bold,
    columns,
    counted,
    dim,
    duration,
    note,
    print_json,
    print_json_line,
    say,
    shown,
)
from kindred.cli.querying import CommandQuery, QueryOptions, doubts, read_image, search_queries, why_empty
from kindred.cli.rating import NO_ANSWER, rating, rating_head, with_line
from kindred.errors import ImageError, UsageError

if TYPE_CHECKING:
    from kindred.library import Results

__all__ = ["search"]


@with_groups
def search(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Query image; several are separate queries unless --together is given. -: read from standard input.",
        ),
    ],
    *,
    library: LibraryPlace = DEFAULT_LIBRARY,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Number of results.")] = 10,
    together: Annotated[
        bool,
        typer.Option("--together", help="Treat all IMAGEs as views of one object and search for it once."),
    ] = False,
    unwanted: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="IMAGE", help="Negative example: rank images like this one lower; repeatable."),
    ] = None,
    no_copies: Annotated[
        bool,
        typer.Option(
            "--no-copies",
            help="Leave out copies of IMAGE and of higher-ranked results: identical files, or images whose pixels "
            "agree.",
        ),
    ] = False,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions",
            help="Also search for parts of IMAGE if the whole has no probable result: for one of several objects, or a "
            "small one.",
        ),
    ] = False,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop", metavar="x0,y0,x1,y1", help="Search for this part of IMAGE, in pixels after EXIF rotation."
        ),
    ] = None,
    filters: FilterOptions,
    ranking: RankingOptions,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="DIR",
            help="Also search this library of the same images and fuse the rankings; repeatable.",
        ),
    ] = None,
    fusion: FusionName = "reciprocal_rank",
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write the results as an HTML page with thumbnails."),
    ] = None,
    device: RunsOn = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Find the images that show the same object or place as IMAGE.

    Results are sorted by the probability that they show the same thing, best first; a line says below which they
    probably do not. Recipes without a calibration sort by score, with most the cosine similarity of the descriptors, 1
    for the same image. Several IMAGEs are separate queries, and --json then prints one line for each; with --together
    they are views of one object. --not IMAGE moves the query away from unwanted results.
    """
    with modules_loading():
        from kindred.describer import DescriberOptions
        from kindred.library import Library

    if also and (ranking.rerank not in (None, "", "none") or unwanted):
        raise UsageError("--also cannot be combined with --rerank or --not: fused results have no vector")
    if also and regions:
        raise UsageError("--also cannot be combined with --regions; search one library")
    options = QueryOptions(
        k,
        box=parse_box(crop, option="--crop") if crop is not None else None,
        negatives=tuple(map(read_image, unwanted or [])),
        where=filters.parsed(),
        min_score=ranking.min_score,
        min_probability=ranking.min_probability,
        rerank=ranking.rerank,
        depth=ranking.depth,
        fusion=fusion,
        no_copies=no_copies,
        regions=regions,
    )
    groups = [images] if together else [[image] for image in images]
    queries = [CommandQuery(tuple(names), tuple(map(read_image, names))) for names in groups]
    with ExitStack() as stack:
        folders = (library, *(also or []))
        runs_on = DescriberOptions(device)
        libraries = [
            stack.enter_context(Library.open(each, options=runs_on, allow_code=allow_code)) for each in folders
        ]
        recipe, of = " + ".join(each.recipe.name for each in libraries), len(libraries[0])
        searched = search_queries(libraries, queries, options)
        if html is not None:  # before anything is printed, since it may fail
            found = list(searched)
            _write_page(html, found, recipe=recipe, of=of, box=options.box)
            searched = iter(found)
        failed, matched = 0, False
        for number, (query, results) in enumerate(searched):
            if isinstance(results, ImageError):
                _report_error(query, results, alone=len(queries) == 1, as_json=as_json)
                failed += 1
            elif as_json:
                from kindred.service import ResultsForm

                form = ResultsForm.of(results, query.names, recipe)
                (print_json if len(queries) == 1 else print_json_line)(form)
            else:
                if len(queries) > 1:
                    say(bold(shown(query.names[0])), gap=number > 0)
                empty = "" if results else why_empty(libraries[0], options)
                print_summary(results, recipe, of=of, empty=empty)
            matched |= bool(results) and not isinstance(results, ImageError)
        if options.where is not None and (matched or as_json) and failed < len(queries):
            for doubt in doubts(libraries[0], options.where, matched=matched):
                note(f"Note: {doubt}")
    if html is not None and not as_json:
        say(f"Page: {shown(html)}")
    if failed:
        raise typer.Exit(1)


def _write_page(
    file: Path,
    searched: Iterable[tuple[CommandQuery, Results | ImageError]],
    *,
    recipe: str,
    of: int,
    box: tuple[float, float, float, float] | None,
) -> None:
    from kindred.cli.search_page import write_results

    usable = [(query, results) for query, results in searched if not isinstance(results, ImageError)]
    if usable:
        write_results(file, usable, recipe=recipe, of=of, box=box)


def _report_error(query: CommandQuery, error: ImageError, *, alone: bool, as_json: bool) -> None:
    """Raise the error of a single query; with several queries, report it and continue."""
    from kindred.service import QueryErrorForm

    if alone:
        raise error
    if as_json:
        print_json_line(QueryErrorForm(query.names[0], error.reason))
    else:
        note(f"kindred: {error}")


def print_summary(results: Results, recipe: str, *, of: int, empty: str) -> None:
    if not results:
        say(empty)
        return
    rows = [
        (
            str(hit.rank),
            rating(hit),
            f"{shown(hit.path)} (file missing)" if hit.missing else shown(hit.path),
            ",".join(str(round(edge)) for edge in hit.box) if hit.box is not None else "",
            (hit.taken or "")[:10],
            ", ".join(hit.tags),
        )
        for hit in results
    ]
    judged = results.answered is not None
    if results.answered is False:
        say(NO_ANSWER)
    heads = ("#", rating_head(judged=judged), "image", "box", "taken", "tags")
    say(with_line(columns(rows, heads=heads, right=(0, 1)), results))
    say(dim(f"{len(results)} of {counted(of, 'image')} in {duration(results.seconds)}, recipe {recipe}"))
