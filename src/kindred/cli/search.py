"""`kindred search`: find the images that show the same object as a query image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    ExistingLibrary,
    IndexAddress,
    RunsOn,
    names_reranker,
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
from kindred.cli.querying import (
    CommandQuery,
    QueryOptions,
    doubts,
    read_image,
    search_queries,
    why_empty,
)
from kindred.cli.rating import rating, rating_head, with_line
from kindred.cli.search_options import FusionOptions, SubjectOptions
from kindred.errors import ImageError, UsageError
from kindred.ranking import copies_text, no_answer_text

if TYPE_CHECKING:
    from kindred.library import Library, Results

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
    library: ExistingLibrary = DEFAULT_LIBRARY,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Number of results.")] = 10,
    no_copies: Annotated[
        bool,
        typer.Option(
            "--no-copies",
            help="Leave out copies of IMAGE and of higher-ranked results: identical files, or images whose pixels "
            "agree.",
        ),
    ] = False,
    subject: SubjectOptions,
    filters: FilterOptions,
    ranking: RankingOptions,
    others: FusionOptions,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write the results as an HTML page with thumbnails."),
    ] = None,
    index: IndexAddress = None,
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

    also = others.also or []
    if also and (names_reranker(ranking.rerank) or subject.unwanted):
        raise UsageError("--also cannot be combined with --rerank or --not: fused results have no vector")
    if also and subject.regions:
        raise UsageError("--also cannot be combined with --regions; search one library")
    options = _options(k, subject, filters, ranking, fusion=others.fusion, no_copies=no_copies)
    groups = [images] if subject.together else [[image] for image in images]
    queries = [CommandQuery(tuple(names), tuple(map(read_image, names))) for names in groups]
    with ExitStack() as stack:
        runs_on = DescriberOptions(device)
        libraries = [
            stack.enter_context(Library.open(each, options=runs_on, allow_code=allow_code, index=address))
            for each, address in [(library, index), *((each, None) for each in also)]
        ]
        searched = search_queries(libraries, queries, options, quiet=as_json)
        if html is not None:  # before anything is printed, since it may fail
            found = list(searched)
            _write_page(html, found, libraries, options)
            searched = iter(found)
        failed = _print_found(searched, libraries, options, alone=len(queries) == 1, as_json=as_json)
    if html is not None and not as_json:
        say(f"Page: {shown(html)}")
    if failed:
        raise typer.Exit(1)


def _options(
    k: int,
    subject: SubjectOptions,
    filters: FilterOptions,
    ranking: RankingOptions,
    *,
    fusion: str,
    no_copies: bool,
) -> QueryOptions:
    """Return the options of the search; raises UsageError for a box, an image or a filter that is none."""
    return QueryOptions(
        k,
        box=parse_box(subject.crop, option="--crop") if subject.crop is not None else None,
        negatives=tuple(map(read_image, subject.unwanted or [])),
        where=filters.parsed(),
        min_score=ranking.min_score,
        min_probability=ranking.min_probability,
        rerank=ranking.rerank,
        depth=ranking.depth,
        fusion=fusion,
        no_copies=no_copies,
        regions=subject.regions,
    )


def _print_found(
    searched: Iterable[tuple[CommandQuery, Results | ImageError]],
    libraries: Sequence[Library],
    options: QueryOptions,
    *,
    alone: bool,
    as_json: bool,
) -> int:
    """Print the results of each query, and doubts about the filter; return the number of queries that failed.

    alone: there is one query only.
    """
    recipe, of = _recipes_of(libraries), len(libraries[0])
    count, failed, matched = 0, 0, False
    for query, results in searched:
        count += 1
        if isinstance(results, ImageError):
            _report_error(query, results, alone=alone, as_json=as_json)
            failed += 1
            continue
        matched |= bool(results)
        if as_json:
            from kindred.service import ResultsForm

            (print_json if alone else print_json_line)(ResultsForm.of(results, query.names, recipe))
            continue
        if not alone:
            say(bold(shown(query.names[0])), gap=count > 1)
        print_summary(results, recipe, of=of, empty="" if results else why_empty(libraries[0], options))
    if options.where is not None and (matched or as_json) and failed < count:
        for doubt in doubts(libraries[0], options.where, matched=matched):
            note(f"Note: {doubt}")
    return failed


def _recipes_of(libraries: Sequence[Library]) -> str:
    return " + ".join(each.recipe.name for each in libraries)


def _write_page(
    file: Path,
    searched: Iterable[tuple[CommandQuery, Results | ImageError]],
    libraries: Sequence[Library],
    options: QueryOptions,
) -> None:
    from kindred.cli.search_page import write_results

    usable = [(query, results) for query, results in searched if not isinstance(results, ImageError)]
    if usable:
        all_found = all(results for _, results in usable)
        empty = "" if all_found else why_empty(libraries[0], options)
        write_results(file, usable, recipe=_recipes_of(libraries), of=len(libraries[0]), box=options.box, empty=empty)


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
    copies = copies_text(len(results.copies))
    if not results:
        say(f"{empty} {copies}." if copies else empty)
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
    unanswered = judged and not any(hit.probable for hit in results)
    if unanswered:
        say(no_answer_text(len(results.copies)))
    heads = ("#", rating_head(judged=judged), "image", "box", "taken", "tags")
    say(with_line(columns(rows, heads=heads, right=(0, 1)), results))
    aside = f"; {copies}" if copies and not unanswered else ""
    say(dim(f"{len(results)} of {counted(of, 'image')} in {duration(results.seconds)}, recipe {recipe}{aside}"))
