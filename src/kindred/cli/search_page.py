"""The page of `kindred search --html`: the answers with their pictures, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.errors import ImageError
from kindred.html.answers import PageAnswer, PageHit, answers_page, write_page
from kindred.images import decode, thumbnail_jpeg

if TYPE_CHECKING:
    from kindred.images import ImageLike
    from kindred.library import Answer, Hit

__all__ = ["write_answers"]

LONGEST = 320  # pixels of a thumbnail, about 20 kB


def write_answers(
    file: Path,
    answer: Answer,
    *,
    recipe: str,
    of: int,
    names: Sequence[str],
    query: ImageLike,
    box: tuple[float, float, float, float] | None,
) -> None:
    """Write the answers for the images called `names`, of which `query` is the first; `of` so many were searched.

    Raises `UsageError` where `file` cannot be written.
    """
    decoded = decode(query, longest=LONGEST)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    name = "standard input" if names[0] == "-" else Path(names[0]).name
    with ThreadPoolExecutor() as threads:
        hits = list(threads.map(_hit, answer))
    shown = PageAnswer(
        query_name=f"{name}{more}",
        query_thumbnail=thumbnail_jpeg(decoded.pixels, LONGEST),
        query_size=(decoded.width, decoded.height),
        query_box=box,
        hits=hits,
    )
    title = f"Images like {name}{more}"
    page = answers_page([shown], title=title, recipe=recipe, seconds=answer.seconds, library_size=of)
    write_page(file, page)


def _hit(hit: Hit) -> PageHit:
    """A file that is gone, or no image any more, is listed without a picture."""
    width, height, thumbnail = hit.width or 0, hit.height or 0, None
    with suppress(ImageError):
        thumbnail = thumbnail_jpeg(decode(hit.path, longest=LONGEST).pixels, LONGEST)
    return PageHit(hit.rank, str(hit.path), hit.score, thumbnail, width, height, hit.box, hit.taken)
