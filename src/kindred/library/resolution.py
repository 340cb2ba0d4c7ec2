"""Small queries: images of more pixels are compared with them at the resolution of the query.

A small query is enlarged to the size of the recipe, and blurred by it. Descriptors of blurred images resemble one
another more than each resembles that of its own original: of 233 photographs reduced to 64 pixels, among reduced copies
of the others and small strangers, 9 % find their original first. The best of the images that have more pixels than the
query are therefore reduced to its size and described again; then 90 % do (`benchmarks/resolution.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.cores import usable_cores
from kindred._support.forks import ForkSafeLock
from kindred._support.prefetch import prefetched
from kindred.arrays import Vectors
from kindred.describer import Describer
from kindred.errors import ImageError
from kindred.images import decode, resize
from kindred.store import Filter

__all__ = ["CANDIDATES", "LARGER", "ReducedVectors", "SmallQuery", "small_query"]

LARGER = 1.25
"""The ratio of the longer sides from which an image counts as larger than the query. At a ratio of 1.6, 200 of 320
pixels, 193 of 200 frames of gardens-point are nearer to their original than to the other frames of 200 pixels; at 2.5,
49 are."""
LEAST = 32
"""Images are reduced to no fewer pixels on the longer side: at 8 to 16 most resemble any query so much that they are
called probable. Of 10 DVD covers of 12, 16 and 20 pixels among 155 images 4, 8 and 9 are found first, as many of 16 and
20 as by images of the query's size; for 10 other images none is probable, in place of 3 at 16 pixels."""
CANDIDATES = 16
"""The larger images of each size class that are described again for a query: of photographs reduced to 64 pixels, 97 to
100 % have theirs among so many of the nearest originals (gardens-point, smvs-dvd and three sets of the pool)."""
CACHED = 4096
"""Vectors of reduced images that a library remembers, 8 MB of 512 components: many queries have the same size."""
AHEAD = 8  # reduced images that wait for the network


@dataclass(frozen=True, eq=False)
class SmallQuery:
    """A query of fewer pixels than the describer uses; it describes larger images at the size of the query.

    longest: the longer side in pixels that they are reduced to, that of the query or LEAST. vectors: (D,) of the images
    described so far, by vector id.
    """

    describer: Describer
    longest: int
    vectors: dict[int, Vectors] = field(default_factory=dict)

    def larger(self, where: Filter | None) -> list[Filter]:
        """Return filters of the images that match `where` and are larger than the query, by how much they are larger.

        Each admits sizes from twice those of the one before, since images of few more pixels than the query are nearer
        to it than those of many more, as they are blurred, too.
        """
        given, filters = where or Filter(), list[Filter]()
        least = LARGER * self.longest
        while not filters or least <= self.describer.full_size:
            filters.append(replace(given, min_longest=max(given.min_longest, int(np.ceil(least)))))
            least *= 2
        return list(dict.fromkeys(filters))

    def describe(self, files: Mapping[int, Path]) -> None:
        """Describe files, by vector id, reduced to the size of the query; those that cannot be read are left out."""
        shrink = partial(_reduced, longest=self.longest)
        with closing(prefetched(shrink, files.items(), workers=usable_cores(), ahead=AHEAD)) as reduced:
            readable = ((number, pixels) for number, pixels in reduced if pixels is not None)
            with closing(self.describer.whole_vectors(readable)) as vectors:
                self.vectors.update(vectors)

    def rows(self, ids: NDArray[np.int64], stored: Vectors) -> Vectors:
        """Return the vectors (n, D) of `ids` at the size of the query where they are known, else those of `stored`."""
        rows = stored.copy()
        for at, number in enumerate(ids.tolist()):
            if number in self.vectors:
                rows[at] = self.vectors[number]
        return rows


class ReducedVectors:
    """The vectors of images that were described for earlier small queries, the latest `CACHED`. Thread-safe.

    A vector id is never used again, so that what is remembered stays true.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], Vectors] = OrderedDict()
        self._lock = ForkSafeLock()

    def describe(self, query: SmallQuery, files: Mapping[int, Path]) -> None:
        """Describe the image files for a query, as `SmallQuery.describe`, but for those that are remembered."""
        with self._lock:
            found = {number: self._known.get((query.longest, number)) for number in files}
        query.vectors.update((number, vector) for number, vector in found.items() if vector is not None)
        query.describe({number: path for number, path in files.items() if number not in query.vectors})
        with self._lock:
            for number in files.keys() & query.vectors.keys():
                self._known[query.longest, number] = query.vectors[number]
                self._known.move_to_end((query.longest, number))
            while len(self._known) > CACHED:
                self._known.popitem(last=False)


def small_query(describer: Describer, width: int | None, height: int | None) -> SmallQuery | None:
    """Return a query of this size in pixels as a small one; None if the describer uses no more pixels than it has."""
    if width is None or height is None or describer.recipe.multi_vector:
        return None
    longest = max(width, height, LEAST)
    return SmallQuery(describer, longest) if LARGER * longest <= describer.full_size else None


def _reduced(item: tuple[int, Path], *, longest: int) -> tuple[int, NDArray[np.uint8] | None]:
    """Return the pixels of an image file, reduced; None if it cannot be read."""
    number, path = item
    try:
        return number, resize(decode(path, longest=longest).pixels, longest=longest)
    except ImageError:
        return number, None
