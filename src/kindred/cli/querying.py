"""Queries of a command and their results: single or batched, from one or several libraries, without copies."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.cli.options import names_reranker
from kindred.cli.progress import Meter
from kindred.errors import ImageError, UsageError

if TYPE_CHECKING:
    from kindred.images import ImageLike
    from kindred.library import Library, Results
    from kindred.store import Filter

__all__ = ["CommandQuery", "QueryOptions", "doubts", "read_image", "search_queries", "why_empty"]


@dataclass(frozen=True)
class CommandQuery:
    """A query: one or more images of one object, with the names given on the command line."""

    names: tuple[str, ...]
    images: tuple[ImageLike, ...]

    @property
    def files(self) -> list[Path]:
        """The images that are files."""
        return [
            image if isinstance(image, Path) else Path(image) for image in self.images if isinstance(image, str | Path)
        ]


@dataclass(frozen=True)
class QueryOptions:
    """Options of a search; see `Library.search` and `kindred.duplicates.search_without_copies`."""

    k: int
    box: tuple[float, float, float, float] | None = None
    negatives: tuple[ImageLike, ...] = ()
    where: Filter | None = None
    min_score: float | None = None
    min_probability: float | None = None
    rerank: str | None = None
    depth: int = 100
    fusion: str = ""
    no_copies: bool = False
    regions: bool | None = None


def read_image(name: str) -> ImageLike:
    """Return a query image, from standard input for "-"; raises `UsageError` if it is not a usable image.

    A remote address that the user gives is thereby allowed to be read.
    """
    from kindred._support.remote_path import RemotePath
    from kindred.images import allow_remote, as_image

    try:
        image = as_image(sys.stdin.buffer if name == "-" else name)
        if isinstance(image, RemotePath):
            allow_remote(image)
        if image == b"":
            raise UsageError("standard input is empty; pipe an image into it")
        return image
    except ImageError as error:
        raise UsageError(f"{error}; expected a query image") from error


def search_queries(
    libraries: Sequence[Library], queries: Sequence[CommandQuery], options: QueryOptions, *, quiet: bool = False
) -> Iterator[tuple[CommandQuery, Results | ImageError]]:
    """Search the first library, or fuse the results of several; yield the results or the error of every query.

    What takes long, such as a graph of all images that a re-ranker needs first, is shown, unless `quiet`.
    """
    found = _found(libraries, queries, options)
    while True:
        with Meter("Searching", quiet=quiet) as meter:  # none while the results are printed
            if names_reranker(options.rerank):
                _report_to(meter, libraries)
            try:
                each = next(found)
            except StopIteration:
                return
        yield each


def _report_to(meter: Meter, libraries: Sequence[Library]) -> None:
    """Show what a re-ranker computes once from all images of a library."""
    for library in libraries:
        library.rerank_cache.progress = lambda done, total: meter.stage("Comparing all images", done, total)


def _found(
    libraries: Sequence[Library], queries: Sequence[CommandQuery], options: QueryOptions
) -> Iterator[tuple[CommandQuery, Results | ImageError]]:
    if _in_one_pass(libraries, queries, options):
        found = libraries[0].search_each(
            (query.images[0] for query in queries),
            k=options.k,
            where=options.where,
            min_score=options.min_score,
            min_probability=options.min_probability,
            rerank=options.rerank,
            depth=options.depth,
            regions=options.regions,
        )
        for query, each in zip(queries, found, strict=True):
            assert each.results is not None or each.error is not None
            yield query, each.results if each.results is not None else each.error  # type: ignore[misc]
        return
    for query in queries:
        try:
            yield query, _search_one(libraries, query, options)
        except ImageError as error:
            yield query, error


def _in_one_pass(libraries: Sequence[Library], queries: Sequence[CommandQuery], options: QueryOptions) -> bool:
    plain = options.box is None and not options.negatives and not options.no_copies
    return plain and len(libraries) == 1 and len(queries) > 1 and all(len(query.images) == 1 for query in queries)


def _search_one(libraries: Sequence[Library], query: CommandQuery, options: QueryOptions) -> Results:
    def search(k: int) -> Results:
        images, box, where = list(query.images), options.box, options.where
        if len(libraries) > 1:
            from kindred.library import search_many

            fused = search_many(
                libraries, images, k=k, box=box, where=where, fusion=options.fusion, rerank=options.rerank
            )
            fused = fused if options.min_score is None else fused.above(options.min_score)
            return fused if options.min_probability is None else fused.likely(options.min_probability)
        return libraries[0].search(
            images,
            k=k,
            box=box,
            negatives=list(options.negatives),
            where=where,
            min_score=options.min_score,
            min_probability=options.min_probability,
            rerank=options.rerank,
            depth=options.depth,
            regions=options.regions,
        )

    if not options.no_copies:
        return search(options.k)
    from kindred.duplicates import not_same_paths, search_without_copies

    apart = [pair for library in libraries for pair in not_same_paths(library)]
    return search_without_copies(search, query.files, options.k, apart=apart)


def doubts(library: Library, where: Filter, *, matched: bool) -> list[str]:
    """Return why a filter matches no image or, if it `matched` some, why that may be a mistake.

    For example, "!=" holds for every value of another type.
    """
    from kindred.library.unmatched import type_mismatch, why_no_match

    if not matched:
        return [why for why in [why_no_match(library.store, where)] if why]
    return [why for each in where.where if each.op == "!=" and (why := type_mismatch(library.store, each))]


def why_empty(library: Library, options: QueryOptions) -> str:
    """Return why a search found nothing; the filter may name a tag, key or folder that the library does not have."""
    from kindred.library.unmatched import why_no_match

    if options.where is not None and (why := why_no_match(library.store, options.where)):
        return why
    if options.min_probability is not None:
        return f"No image shows the same thing with a probability of {options.min_probability:g} or more."
    return "No results." if options.min_score is None else f"No image scores {options.min_score:g} or more."
