"""The nearest neighbours of every image of a gallery, found block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.rerank.context import Gallery

__all__ = ["Progress", "find_neighbours", "nearest_rows"]

Progress = Callable[[int, int], None]
Places = NDArray[np.int32]
Search = Callable[[Vectors, int], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""Vectors (m, D) and k → the ids and cosines (m, k) of the nearest, best first, padded with −1."""

BLOCK = 1024
"""Images whose neighbours are looked for at a time."""
EXACT_ROWS = 20_000
"""Up to here comparing all with all takes seconds; the time grows with the square."""
LIST_SAMPLE = 40
"""Vectors to learn each centroid from: FAISS asks for no fewer."""
LEAST_LISTS = 16
SCAN_RATIO = 16
"""Vectors that are compared for each neighbour wanted."""
TOLERANCE = 0.01


def find_neighbours(
    gallery: Gallery, k: int, *, approximate: bool | None = None, progress: Progress | None = None
) -> tuple[NDArray[np.int64], Places, NDArray[np.float32]]:
    """Return the ids (N,), the places (N, n) in them of each image's nearest others, and their cosines (N, n).

    n is `k`, or N − 1 where there are fewer others. Best first; −1 and −inf where the gallery gave fewer. approximate:
    False asks the gallery itself, which compares all with all if it is exact; True has FAISS sort the vectors into
    lists and compare near lists only; None does so above 20,000 images. Raises UsageError for a gallery that does not
    score by cosine.
    """
    ids = np.concatenate([*(ids for ids, _ in gallery.blocks()), np.empty(0, dtype=np.int64)])
    k = max(0, min(k, len(ids) - 1))
    nearest = np.full((len(ids), k), -1, dtype=np.int32)
    cosines = np.full((len(ids), k), -np.inf, dtype=np.float32)
    if k == 0:
        return ids, nearest, cosines
    done = 0
    for _, _, found, similarities in nearest_rows(gallery, k + 1, ids, approximate=approximate):
        # The image itself goes to the end and off; among equal vectors it may not be there at all.
        own = np.arange(done, done + len(found))[:, None]
        order = np.argsort(found == own, axis=1, kind="stable")[:, :k]
        part = slice(done, done + len(found))
        nearest[part] = np.take_along_axis(found, order, axis=1)
        cosines[part] = np.take_along_axis(similarities, order, axis=1)
        done += len(found)
        if progress is not None:
            progress(done, len(ids))
    return ids, nearest, cosines


def nearest_rows(
    gallery: Gallery, k: int, ids: NDArray[np.int64], *, approximate: bool | None = None
) -> Iterator[tuple[NDArray[np.int64], Vectors, NDArray[np.int64], NDArray[np.float32]]]:
    """Yield for all images, block by block: ids (m,), rows (m, D), places in `ids` and cosines (m, n) of the nearest.

    n is `k`, or N where there are fewer. An image is among its own nearest; `ids` (N,) are those of the gallery.
    """
    wanted = min(k, len(ids))
    search = _lists(gallery, wanted, len(ids)) if _is_approximate(approximate, len(ids)) else _asking(gallery)
    for numbers, vectors in gallery.blocks():
        for start in range(0, len(numbers), BLOCK):
            part, rows = numbers[start : start + BLOCK], vectors[start : start + BLOCK]
            found, cosines = search(rows, wanted)
            places = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
            places[found < 0] = -1
            yield part, rows, places, cosines


def _is_approximate(approximate: bool | None, count: int) -> bool:
    wanted = count > EXACT_ROWS if approximate is None else approximate
    return wanted and count >= LEAST_LISTS * LIST_SAMPLE  # fewer have no lists worth the name


def _asking(gallery: Gallery) -> Search:
    """Return a search by the gallery itself."""

    def search(rows: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        found = gallery.search(rows, k)
        # An image's nearest is itself or a copy: its score tells what the gallery scores by.
        if len(rows) and abs(float(found.scores[0, 0] - rows[0] @ rows[0])) > TOLERANCE:
            own = f"{found.scores[0, 0]:.3f}"
            raise UsageError(f"gallery: scores an image against itself by {own}; expected the cosine of unit vectors")
        return found.ids, found.scores

    return search


def _lists(gallery: Gallery, k: int, count: int) -> Search:
    """Return a search by FAISS in lists of near vectors, kept as float16: cosines are right within 0.0002."""
    faiss = import_module("faiss")
    lists = max(LEAST_LISTS, min(2 * math.isqrt(count), count // LIST_SAMPLE))
    sample = _sample(gallery, LIST_SAMPLE * lists, count)
    dimension = sample.shape[1]
    index: Any = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimension), dimension, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.train(sample)
    numbers = [np.empty(0, dtype=np.int64)]
    for ids, rows in gallery.blocks():
        index.add(rows)
        numbers.append(ids)
    known = np.concatenate(numbers)
    index.nprobe = min(lists, max(LEAST_LISTS, math.ceil(SCAN_RATIO * k * lists / count)))

    def search(rows: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        cosines, places = index.search(rows, k)
        cosines[places < 0] = -np.inf
        return np.where(places < 0, -1, known[places]), cosines

    return search


def _sample(gallery: Gallery, wanted: int, count: int) -> Vectors:
    """Return about `wanted` rows, evenly spaced over the gallery."""
    step = max(1, count // wanted)
    parts, seen = [], 0
    for _, rows in gallery.blocks():
        parts.append(rows[-seen % step :: step])
        seen += len(rows)
    return np.concatenate(parts)
