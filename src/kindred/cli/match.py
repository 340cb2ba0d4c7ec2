"""`kindred match`: search a library for every image of a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.groups import FilterOptions, RankingOptions, with_groups
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary, IndexAddress, RunsOn, Workers
from kindred.cli.output import columns, counted, grouped, print_json_line, say, shown
from kindred.cli.progress import Meter
from kindred.cli.rating import rating, rating_head
from kindred.cli.running import interruptible

if TYPE_CHECKING:
    from kindred.library import Hit, QueryResults

__all__ = ["match"]


@with_groups
def match(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders of images (searched recursively) or single files."),
    ],
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Number of results for each image.")] = 1,
    filters: FilterOptions,
    ranking: RankingOptions,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Exclude files and folders, as in kindred index; repeatable."),
    ] = None,
    index: IndexAddress = None,
    device: RunsOn = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Search a library for every image of a folder.

    Prints the most similar images of the library for each image; if the image itself is in the library, it is left out
    of its own results. --json prints one line for each image: query, results and, if it cannot be used, error.
    """
    from kindred.describer import DescriberOptions
    from kindred.images import find_images
    from kindred.library import Library
    from kindred.service import MatchForm

    walked = list(find_images(folders, exclude=exclude or []))
    found = [each for each in walked if each.reason is None]
    skipped = [(each.path, each.reason) for each in walked if each.reason is not None]
    rows: list[tuple[str, str, str]] = []
    matched, probable, judged = 0, 0, False
    with (
        Library.open(library, options=DescriberOptions(device, workers), index=index) as opened,
        interruptible("nothing was changed"),
        Meter("Matching", quiet=as_json) as meter,
    ):
        # One more than requested, since an image of the library finds itself.
        searched = opened.search_each(
            [each.path for each in found],
            k=k + 1,
            where=filters.parsed(),
            min_score=ranking.min_score,
            min_probability=ranking.min_probability,
            rerank=ranking.rerank,
            depth=ranking.depth,
        )
        for done, (each, result) in enumerate(zip(found, searched, strict=True), 1):
            if result.error is not None:
                skipped.append((each.path, result.error.reason))
            hits = [replace(hit, rank=rank) for rank, hit in enumerate(_others(each.path, result)[:k], 1)]
            matched += bool(hits)
            if as_json:
                print_json_line(MatchForm.of(each.path, hits, None if result.error is None else result.error.reason))
            rows += [(shown(each.path), rating(hit), shown(hit.path)) for hit in hits]
            probable += any(hit.probable for hit in hits)
            judged |= any(hit.probable is not None for hit in hits)
            meter.update(done, len(found))
    if as_json:
        return
    if rows:
        say(columns(rows, heads=("image", rating_head(judged=judged), "in the library"), right=(1,)))
    least = "" if ranking.min_score is None else f" of at least {ranking.min_score:g}"
    sure = f"; {probable:,} of them probably show the same thing" if judged else ""
    say(f"{matched:,} of {counted(len(found), 'image')} with a result{least}{sure}.")
    if skipped:
        say(f"Skipped {counted(len(skipped), 'file')}:")
        say(grouped(skipped, verbose=True))


def _others(path: Path, result: QueryResults) -> list[Hit]:
    """Return the results other than the query itself."""
    hits = list(result.results or ())
    return [hit for hit in hits if not _same_file(hit.path, path)]


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is missing
        return False
