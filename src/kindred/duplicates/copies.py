"""Search results without copies: only the best result of each picture, and no copy of the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kindred.duplicates.files import distinct, same_bytes
from kindred.duplicates.groups import SameLink
from kindred.duplicates.links import LINK, DisjointSets
from kindred.duplicates.pixels import same_pictures, sketched
from kindred.library import Hit, Results

__all__ = ["search_without_copies", "without_copies"]

SPARE = 8
"""Results requested beyond `k` at first."""


def search_without_copies(search: Callable[[int], Results], queries: Sequence[Path], k: int) -> Results:
    """Return the best `k` results without copies (`without_copies`); `search` returns the given number of results.

    The number is doubled until there are enough results, or no more.
    """
    requested = k + SPARE
    while True:
        results = search(requested)
        kept = without_copies(results, queries)
        if len(kept) >= k or len(results) < requested:
            return _ranked(results, kept[:k])
        requested *= 2


def without_copies(results: Sequence[Hit], queries: Sequence[Path] = ()) -> list[int]:
    """Return the indices of the results that are not a copy of a better result or of a query image.

    Copies have the same bytes, or show the same picture, in another format, size or orientation. A result whose file
    cannot be read is kept.
    """
    first = len(queries)
    paths = dict(enumerate([*queries, *(hit.path for hit in results)]))
    files, representative = distinct(paths.items())
    joined = DisjointSets()
    for each, other in representative.items():
        joined.join(each, other)
    known = [
        SameLink(group[0].image_id, other.image_id, "same_bytes") for group in same_bytes(files) for other in group[1:]
    ]
    sketches = sketched({file.image_id: file.path for file in files}, progress=_silent)
    nothing = np.empty(0, LINK)
    for link in [*known, *same_pictures(paths, sketches, known, near=nothing, progress=_silent)]:
        joined.join(link.one, link.other)
    seen = {joined.find(place) for place in range(first)}
    kept = []
    for place in range(first, len(paths)):
        group = joined.find(place)
        if group not in seen:
            seen.add(group)
            kept.append(place - first)
    return kept


def _ranked(results: Results, places: Sequence[int]) -> Results:
    hits = tuple(replace(results[place], rank=rank) for rank, place in enumerate(places, 1))
    return Results(hits, results.ids[list(places)], results.scores[list(places)], results.seconds)


def _silent(_: str, __: int, ___: int) -> None:
    """Report no progress, as a few results take no time."""
