"""`kindred search`: which images show the same thing as this one?"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import (
    DEFAULT_LIBRARY,
    RERANKERS,
    AllowCode,
    AsJson,
    FusionName,
    LibraryFolder,
    parse_box,
    parse_day,
)
from kindred.cli.output import columns, counted, dim, duration, print_json, say, shown
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.images import ImageLike
    from kindred.library import Answer
    from kindred.store import Filter

__all__ = ["search"]


def search(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="What to look for; several images of one thing help. -: standard input."),
    ],
    *,
    library: LibraryFolder = DEFAULT_LIBRARY,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many answers.")] = 10,
    crop: Annotated[
        str | None,
        typer.Option("--crop", metavar="x0,y0,x1,y1", help="Look for this part of IMAGE, in pixels of it upright."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Only images in this folder, at any depth.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only images with this tag; give it again for more."),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="DAY", help="Only images of this day (2024-05-31) or later.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="DAY", help="Only images of this day or earlier.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only images with such metadata: price<20, maker=Leica, bought>=2024-01-31; =, !=, <, <=, >, >=; "
            "repeatable, and all must hold. Set metadata with kindred meta.",
        ),
    ] = None,
    rerank: Annotated[
        str,
        typer.Option(
            "--rerank",
            metavar="NAMES",
            help=f"Re-rank the first answers: {RERANKERS} or localise, or one after another: alpha_qe:n=10,verify.",
        ),
    ] = "",
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="N", help="How many answers are re-ranked.")] = 100,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="DIR", help="Search this library of the same images too, and fuse; repeatable."),
    ] = None,
    fusion: FusionName = "reciprocal_rank",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the answers as a page with pictures.")
    ] = None,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Find the images that show the same thing as IMAGE.

    Given several images of one thing, it looks for what they have in common. The best comes first. A score is
    higher the more alike two images are; with the usual recipes it is a cosine, and 1 is the same picture.
    """
    from kindred.library import Library, search_many

    box = parse_box(crop, option="--crop") if crop is not None else None
    query = [_query_image(image) for image in images]
    chosen = _filter(folder, tag or [], after, before, where or [])
    if also and rerank:
        raise UsageError("--rerank and --also contradict each other; fused answers are not re-ranked")
    with ExitStack() as stack:
        opened = stack.enter_context(Library.open(library, allow_code=allow_code))
        recipe = opened.recipe.name
        if also:
            others = [stack.enter_context(Library.open(each, allow_code=allow_code)) for each in also]
            recipe = " + ".join([recipe, *(each.recipe.name for each in others)])
            answer = search_many([opened, *others], query, k=k, box=box, where=chosen, fusion=fusion)
        else:
            answer = opened.search(query, k=k, box=box, where=chosen, rerank=rerank, depth=depth)
        if html is not None:
            from kindred.cli.search_page import write_answers

            write_answers(html, answer, recipe=recipe, of=len(opened), names=images, query=query[0], box=box)
        if as_json:
            from kindred.service import AnswerForm

            print_json(AnswerForm.of(answer, images, recipe))
        else:
            print_summary(answer, recipe, of=len(opened), filtered=chosen is not None)
            if html is not None:
                say(f"Page: {shown(html)}")


def _query_image(image: str) -> ImageLike:
    """Return an image to look for, from standard input for "-"; raises `UsageError` that says what it is instead."""
    from kindred.errors import ImageError
    from kindred.images import as_image

    try:
        return as_image(sys.stdin.buffer if image == "-" else image)
    except ImageError as error:
        raise UsageError(f"{error}; give an image to look for") from error


def _filter(
    folder: Path | None, tags: list[str], after: str | None, before: str | None, where: list[str]
) -> Filter | None:
    from kindred.store import Filter, parse_where

    first, last = parse_day(after, option="--after"), parse_day(before, option="--before")
    if folder is None and not tags and first is None and last is None and not where:
        return None
    conditions = tuple(map(parse_where, where))
    return Filter(folder=folder, tags=tuple(tags), after=first, before=last, where=conditions)


def print_summary(answer: Answer, recipe: str, *, of: int, filtered: bool) -> None:
    if not answer:
        say("No image passes the filter." if filtered else "No answers.")
        return
    from kindred.ranking import score_text

    rows = [
        (
            str(hit.rank),
            score_text(hit.score),
            f"{shown(hit.path)} (file missing)" if hit.missing else shown(hit.path),
            ",".join(str(round(edge)) for edge in hit.box) if hit.box is not None else "",
            (hit.taken or "")[:10],
            ", ".join(hit.tags),
        )
        for hit in answer
    ]
    say(columns(rows, heads=("#", "score", "image", "box", "taken", "tags"), right=(0, 1)))
    say(dim(f"{len(answer)} of {counted(of, 'image')} in {duration(answer.seconds)}, recipe {recipe}"))
