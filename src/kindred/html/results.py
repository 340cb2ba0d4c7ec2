"""Search results as a self-contained HTML page with embedded thumbnails, to be opened from the disk.

It loads only its own data and local files, and runs no script but its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

from kindred._support.remote_path import remote_path
from kindred.html.document import fill, html_address, html_text, picture_address, write_document
from kindred.ranking import no_answer_text, probability_text, score_text
from kindred.regions import Box

__all__ = ["PageHit", "PageResults", "results_page", "write_page"]

BELOW = "Probably not the same thing"
COPY_ICON = (
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<rect x="5.5" y="5.5" width="8" height="8" rx="1.6"/><path d="M10.5 2.5h-6a2 2 0 0 0-2 2v6"/></svg>'
)


@dataclass(frozen=True)
class PageHit:
    """One result: `score` (higher is better), `thumbnail` (JPEG bytes), `width` and `height` of the upright original.

    `box`: the part of the original that matched; `taken`: an ISO 8601 date; `missing`: whether its file does not exist;
    `probability`: that it shows the same thing as the query, None if unknown; `probable`: whether it probably does.
    """

    rank: int
    path: str
    score: float
    thumbnail: bytes | None
    width: int
    height: int
    box: Box | None = None
    taken: str | None = None
    missing: bool = False
    probability: float | None = None
    probable: bool | None = None

    @property
    def rating(self) -> str:
        """The probability for display, or the score."""
        return score_text(self.score) if self.probability is None else probability_text(self.probability)


@dataclass(frozen=True)
class PageResults:
    """One query with its results, best first; `query_size` is (width, height) of the upright query image.

    copies: the number of copies of the query that were left out. empty: what is shown if there are no results.
    """

    query_name: str
    query_thumbnail: bytes
    query_size: tuple[int, int]
    query_box: Box | None
    hits: Sequence[PageHit]
    copies: int = 0
    empty: str = "No results."


def results_page(queries: Sequence[PageResults], *, title: str, recipe: str, seconds: float, library_size: int) -> str:
    """Return queries and their ranked results as an HTML document.

    `seconds`: duration of the search; `library_size`: number of images searched. The document has no lone surrogates,
    so that it can be written as UTF-8.
    """
    body = "\n".join(_section(results, number) for number, results in enumerate(queries, start=1))
    return fill(
        _template(),
        images="data: file:",
        title=html_text(title),
        facts=_facts(len(queries), recipe=recipe, seconds=seconds, library_size=library_size),
        contents=_contents(queries) if len(queries) > 1 else "",
        results=body or '<p class="empty">No image was searched for.</p>',
    )


def write_page(file: Path, page: str) -> None:
    """Write the page atomically; raises UsageError if the file cannot be written."""
    write_document(file, "page", page)


@cache
def _template() -> str:
    """The page with $names as placeholders; its style and its script are fixed."""
    return (files("kindred.html") / "results.html").read_text(encoding="utf-8")


def _facts(queries: int, *, recipe: str, seconds: float, library_size: int) -> str:
    took = f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    facts = [
        f"<b>{library_size:,}</b> images searched",
        f"<b>{queries:,}</b> {'query' if queries == 1 else 'queries'} in <b>{took}</b>",
        f"recipe <b>{html_text(recipe)}</b>",
    ]
    return "".join(f"<li>{fact}</li>" for fact in facts)


def _contents(queries: Sequence[PageResults]) -> str:
    items = "".join(
        f'<li><a href="#query-{number}"><img src="{picture_address(results.query_thumbnail)}" alt="">'
        f"<span>{html_text(_name(results.query_name))}</span></a></li>"
        for number, results in enumerate(queries, start=1)
    )
    return f'<nav aria-label="Queries"><ul>{items}</ul></nav>'


def _section(results: PageResults, number: int) -> str:
    width, height = results.query_size
    name = html_text(_name(results.query_name))
    note = f"{width:,} × {height:,}" + (", searched within the frame" if results.query_box else "")
    shot = _shot(results.query_thumbnail, results.query_size, results.query_box, alt=f"Query {name}", mark="box crop")
    empty = f'<p class="empty">{html_text(results.empty)}</p>'
    listed = _listed(results.hits, results.copies) if results.hits else empty
    return (
        f'<section id="query-{number}" aria-labelledby="name-{number}">\n<div class="query">\n'
        f'<p class="eyebrow">Query</p>\n{shot}\n<h2 id="name-{number}"><bdi>{name}</bdi></h2>\n<p>{note}</p>\n'
        f"</div>\n<div>{listed}</div>\n</section>"
    )


def _listed(hits: Sequence[PageHit], copies: int) -> str:
    """Return the list of results, divided into those that probably show the same thing and the others."""
    items = [_hit(hit, share) for hit, share in zip(hits, _shares(hits), strict=True)]
    if all(hit.probable is None for hit in hits):
        return _list(items)
    probable = [item for item, hit in zip(items, hits, strict=True) if hit.probable]
    others = [item for item, hit in zip(items, hits, strict=True) if not hit.probable]
    if not probable:
        return f'<p class="verdict">{no_answer_text(copies)}</p>\n{_list(others)}'
    if not others:
        return _list(probable)
    return f'{_list(probable)}\n<p class="line"><span>{BELOW}</span></p>\n{_list(others)}'


def _list(items: Sequence[str]) -> str:
    return '<ol class="hits">\n' + "\n".join(items) + "\n</ol>"


def _hit(hit: PageHit, share: float) -> str:
    address, name = html_address(remote_path(hit.path) or Path(hit.path)), html_text(_name(hit.path))
    folder = hit.path[: -len(_name(hit.path))]
    nearest = "/".join(folder.replace("\\", "/").strip("/").split("/")[-2:])
    rating = html_text(hit.rating)
    label = f"{hit.rank} · {name} · {rating}"
    if hit.thumbnail is None:
        shot = "File missing" if hit.missing else "No preview"
    else:
        shot = _shot(hit.thumbnail, (hit.width, hit.height), hit.box, alt="", mark="box")
    taken = f'<span class="taken">{html_text(_date(hit.taken))}</span>' if hit.taken else ""
    # A path that cannot be shown as text is copied as its file URL, in which such bytes are percent-encoded.
    copied = html_text(hit.path if hit.path.isprintable() else address)
    return (
        f'<li><a class="open" href="{address}" data-label="{label}" aria-label="Enlarge {label}">'
        f'{shot}<span class="rank">{hit.rank}</span></a>'
        f'<div class="score"><b>{rating}</b>'
        f'<span class="bar" aria-hidden="true"><i style="--share:{share:.1%}"></i></span></div>'
        f'<div class="about"><a class="name" href="{address}" title="{name}"><bdi>{name}</bdi></a>'
        f'<span class="folder" title="{html_text(folder)}"><bdi>{html_text(nearest)}</bdi></span>{taken}'
        f'<button class="copy" type="button" data-path="{copied}" aria-label="Copy the path of {name}">'
        f"{COPY_ICON}</button></div></li>"
    )


def _shot(thumbnail: bytes, size: tuple[int, int], box: Box | None, *, alt: str, mark: str) -> str:
    """Return an image in the proportions of its original, with an overlaid box; `alt` is already escaped."""
    width, height = size if min(size) > 0 else (4, 3)
    frame = ""
    if box is not None:
        x0, y0, x1, y1 = box
        left, top = _percent(x0 / width), _percent(y0 / height)
        across, down = _percent((x1 - x0) / width), _percent((y1 - y0) / height)
        frame = f'<span class="{mark}" style="--x:{left};--y:{top};--w:{across};--h:{down}"></span>'
    return (
        f'<div class="shot" style="--r:{width / height:.4f};aspect-ratio:{width}/{height}">'
        f'<img src="{picture_address(thumbnail)}" alt="{alt}" decoding="async">{frame}</div>'
    )


def _percent(share: float) -> str:
    return f"{min(1.0, max(0.0, share)):.2%}"


def _name(path: str) -> str:
    """Return the last component of a POSIX or Windows path, or the path itself if it has none."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def _shares(hits: Sequence[PageHit]) -> list[float]:
    """Return the length of each score's bar, from 0 to 1.

    If all scores are in [0, 1], like cosines of images, they are the lengths; otherwise they are scaled so that the
    lowest has a tenth of the full length and the highest all of it.
    """
    scores = [hit.score if math.isfinite(hit.score) else 0.0 for hit in hits]
    if all(0.0 <= score <= 1.0 for score in scores):
        return scores
    low, high = min(scores), max(scores)
    return [0.1 + 0.9 * (score - low) / (high - low) if high > low else 1.0 for score in scores]


def _date(taken: str) -> str:
    """Return an ISO date as "17 May 2024", any other text unchanged."""
    try:
        moment = datetime.fromisoformat(taken)
    except ValueError:
        return taken
    return f"{moment.day} {moment:%B %Y}"
