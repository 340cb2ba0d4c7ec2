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
"""Images whose neighbours are searched at a time."""
EXACT_ROWS = 20_000
"""Up to this number comparing all pairs takes seconds; the time is quadratic."""
LIST_SAMPLE = 40
"""Training vectors per centroid, about the least without a warning of FAISS."""
LEAST_LISTS = 16
SCAN_RATIO = 16
"""Vectors compared per neighbour wanted."""
TOLERANCE = 0.01


def find_neighbours(
    gallery: Gallery, k: int, *, approximate: bool | None = None, progress: Progress | None = None
) -> tuple[NDArray[np.int64], Places, NDArray[np.float32]]:
    """Return the ids (N,), the positions in them of each image's nearest others (N, n), and their cosines (N, n).

    n is `k`, or N − 1 if there are fewer others. Best first; −1 and −inf where the gallery returned fewer.
    approximate: False searches the gallery itself, which compares all pairs if it is exact; True searches an inverted
    file of FAISS; None does so above 20,000 images. Raises UsageError for a gallery that does not score by cosine.
    """
    ids = np.concatenate([*(ids for ids, _ in gallery.blocks()), np.empty(0, dtype=np.int64)])
    k = max(0, min(k, len(ids) - 1))
    nearest = np.full((len(ids), k), -1, dtype=np.int32)
    cosines = np.full((len(ids), k), -np.inf, dtype=np.float32)
    if k == 0:
        return ids, nearest, cosines
    done = 0
    for _, _, found, similarities in nearest_rows(gallery, k + 1, ids, approximate=approximate):
        # The image itself is moved to the end and dropped; among equal vectors it may be missing.
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
    """Yield, block by block: ids (m,), rows (m, D), their nearest as positions in `ids` (m, n), and cosines (m, n).

    n is `k`, or N if there are fewer. An image is among its own nearest; `ids` (N,) are those of the gallery.
    """
    wanted = min(k, len(ids))
    search = (
        _inverted_lists(gallery, wanted, len(ids))
        if _is_approximate(approximate, len(ids))
        else _gallery_search(gallery)
    )
    for numbers, vectors in gallery.blocks():
        for start in range(0, len(numbers), BLOCK):
            part, rows = numbers[start : start + BLOCK], vectors[start : start + BLOCK]
            found, cosines = search(rows, wanted)
            places = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
            places[found < 0] = -1
            yield part, rows, places, cosines


def _is_approximate(approximate: bool | None, count: int) -> bool:
    wanted = count > EXACT_ROWS if approximate is None else approximate
    return wanted and count >= LEAST_LISTS * LIST_SAMPLE  # fewer are too few to train the lists


def _gallery_search(gallery: Gallery) -> Search:
    """Return a search by the gallery itself."""

    def search(rows: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        found = gallery.search(rows, k)
        # An image's nearest is itself or a copy: its score shows whether the gallery scores by cosine.
        if len(rows) and abs(float(found.scores[0, 0] - rows[0] @ rows[0])) > TOLERANCE:
            own = f"{found.scores[0, 0]:.3f}"
            raise UsageError(f"gallery: scores an image against itself by {own}; expected the cosine of unit vectors")
        return found.ids, found.scores

    return search


def _inverted_lists(gallery: Gallery, k: int, count: int) -> Search:
    """Return a search in an inverted file of FAISS with vectors as float16: cosines are exact within 0.0002."""
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
