"""The page of `kindred search --html`: the results with their thumbnails, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.errors import ImageError
from kindred.html.results import PageHit, PageResults, results_page, write_page
from kindred.images import decode, thumbnail_jpeg

if TYPE_CHECKING:
    from kindred.cli.querying import CommandQuery
    from kindred.library import Hit, Results

__all__ = ["write_results"]

LONGEST = 320  # pixels of a thumbnail, about 20 kB


def write_results(
    file: Path,
    searched: Sequence[tuple[CommandQuery, Results]],
    *,
    recipe: str,
    of: int,
    box: tuple[float, float, float, float] | None,
    empty: str,
) -> None:
    """Write queries and their results as a page; `of` is the number of images searched, `box` the searched part.

    empty: what is shown for a query without results.
    Raises `UsageError` if `file` cannot be written.
    """
    shown = [replace(_page_results(query, results, box), empty=empty) for query, results in searched]
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    title = f"Images like {shown[0].query_name}{more}" if shown else "No query could be used"
    seconds = sum(results.seconds for _, results in searched)
    write_page(file, results_page(shown, title=title, recipe=recipe, seconds=seconds, library_size=of))


def _page_results(query: CommandQuery, results: Results, box: tuple[float, float, float, float] | None) -> PageResults:
    decoded = decode(query.images[0], longest=LONGEST)
    more = f" and {len(query.names) - 1} more" if len(query.names) > 1 else ""
    name = "standard input" if query.names[0] == "-" else Path(query.names[0]).name
    with ThreadPoolExecutor() as threads:
        hits = list(threads.map(_hit, results))
    return PageResults(
        query_name=f"{name}{more}",
        query_thumbnail=thumbnail_jpeg(decoded.pixels, LONGEST),
        query_size=(decoded.width, decoded.height),
        query_box=box,
        hits=hits,
        copies=len(results.copies),
    )


def _hit(hit: Hit) -> PageHit:
    """Return the row of a result; one whose file is missing or unreadable has no thumbnail."""
    width, height, thumbnail = hit.width or 0, hit.height or 0, None
    with suppress(ImageError):
        thumbnail = thumbnail_jpeg(decode(hit.path, longest=LONGEST).pixels, LONGEST)
    return PageHit(
        hit.rank,
        str(hit.path),
        hit.score,
        thumbnail,
        width,
        height,
        hit.box,
        hit.taken,
        hit.missing,
        hit.probability,
        hit.probable,
    )
