"""Search results without copies: only the best result of each picture, and no copy of the query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kindred.duplicates.files import distinct, same_bytes
from kindred.duplicates.groups import SameLink
from kindred.duplicates.links import LINK, DisjointSets
from kindred.duplicates.pixels import same_pictures, sketched
from kindred.library import Hit, Results

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["PathPairs", "Uncopied", "not_same_paths", "search_without_copies", "without_copies"]

PathPairs = Iterable[tuple[Path, Path]]
"""Pairs of images, by path, that are not the same."""

SPARE = 8
"""Results requested beyond `k` at first."""


class Uncopied(NamedTuple):
    """The indices of the results that remain, and of those that were left out as copies of a query image."""

    kept: list[int]
    of_query: list[int]


def not_same_paths(library: Library) -> list[tuple[Path, Path]]:
    """Return the pairs of images of a library, by path, that were marked as not the same."""
    pairs = library.store.not_same()
    rows = library.store.images(np.unique(pairs).tolist())
    return [(rows[one].path, rows[other].path) for one, other in pairs.tolist() if one in rows and other in rows]


def search_without_copies(
    search: Callable[[int], Results], queries: Sequence[Path], k: int, *, apart: PathPairs = ()
) -> Results:
    """Return the best `k` results without copies (`without_copies`); `search` returns the given number of results.

    The number is doubled until there are enough results, or no more. The results name the copies of the query that were
    left out.
    """
    apart = list(apart)
    requested = k + SPARE
    while True:
        results = search(requested)
        found = without_copies(results, queries, apart=apart)
        if len(found.kept) >= k or len(results) < requested:
            return _ranked(results, found, k)
        requested *= 2


def without_copies(results: Sequence[Hit], queries: Sequence[Path] = (), *, apart: PathPairs = ()) -> Uncopied:
    """Find the results that are not a copy of a better result or of a query image.

    Copies have the same bytes, or show the same picture, in another format, size or orientation. Images of a pair of
    `apart` are no copies of one another. A result whose file cannot be read is kept.
    """
    first = len(queries)
    paths = dict(enumerate([*queries, *(hit.path for hit in results)]))
    files, representative = distinct(paths.items())
    joined = DisjointSets(_places_apart(paths, apart))

    def join(one: int, other: int) -> None:
        if joined.may_join(one, other):
            joined.join(one, other)

    for each, other in representative.items():
        join(each, other)
    known = [
        SameLink(group[0].image_id, other.image_id, "same_bytes") for group in same_bytes(files) for other in group[1:]
    ]
    sketches = sketched({file.image_id: file.path for file in files}, progress=_silent)
    nothing = np.empty(0, LINK)
    for link in [*known, *same_pictures(paths, sketches, known, near=nothing, progress=_silent)]:
        join(link.one, link.other)
    own = {joined.find(place) for place in range(first)}
    best: dict[int, int] = {}  # the first result of each group
    of_query = []
    for place in range(first, len(paths)):
        group = joined.find(place)
        if group in own:
            of_query.append(place - first)
        else:
            best.setdefault(group, place - first)
    return Uncopied(list(best.values()), of_query)


def _places_apart(paths: Mapping[int, Path], apart: PathPairs) -> set[tuple[int, int]]:
    """Return pairs of images by their numbers instead of their paths, without images that are not among them."""
    places: dict[Path, list[int]] = defaultdict(list)
    for place, path in paths.items():
        places[path].append(place)
    return {pair for one, other in apart for pair in product(places.get(one, ()), places.get(other, ()))}


def _ranked(results: Results, found: Uncopied, k: int) -> Results:
    places = found.kept[:k]
    hits = tuple(replace(results[place], rank=rank) for rank, place in enumerate(places, 1))
    copies = tuple(results[place] for place in found.of_query)
    return replace(results, hits=hits, ids=results.ids[places], scores=results.scores[places], copies=copies)


def _silent(_: str, __: int, ___: int) -> None:
    """Report no progress, as a few results take no time."""
