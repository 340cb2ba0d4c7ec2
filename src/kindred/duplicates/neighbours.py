"""Images that are alike by descriptor: each vector searches its nearest neighbours in the library's own index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.duplicates.links import Forest, Links, make_links
from kindred.library import Library
from kindred.ranking import Ranking

__all__ = ["alike"]

BLOCK = 512
"""Vectors searched at a time."""


def alike(library: Library, *, threshold: float, k: int, progress: Callable[[int, int], None] | None = None) -> Links:
    """Link images by id whose descriptors have a cosine of `threshold` or more, among the `k` nearest of each.

    Returns the strongest links that hold each group together, the strongest first; an image's link to its nearest is
    among them. It takes as long as searching with every image; memory grows neither with the square of the library
    nor with its links. `progress` is called with the vectors searched and their number.
    """
    store = library.store
    total, done = store.counts().vectors, 0
    forest = Forest()
    for ids, rows in store.vectors(batch=BLOCK):
        forest.add(_alike(library, ids, rows, threshold=threshold, k=k))
        done += len(ids)
        if progress is not None:
            progress(done, max(done, total))
    return forest.strongest()


def _alike(library: Library, ids: NDArray[np.int64], rows: Vectors, *, threshold: float, k: int) -> Links:
    """Return the links, by image id, of images whose vectors (n, D) have one of another among their `k` nearest."""
    ranking = library.search_index.search(rows, k + 1)  # each finds itself
    scores = _cosines(library, rows, ranking)
    near, column = np.nonzero((scores >= threshold) & (ranking.ids != ids[:, None]))
    ends = np.stack([ids[near], ranking.ids[near, column]], axis=1)
    images = {
        number: row.image_id
        for number, row in library.store.rows(np.unique(ends).tolist()).items()
        if row.box is None  # a part that two images share makes them no duplicates
    }
    pairs = np.array([[images.get(one, -1), images.get(other, -1)] for one, other in ends.tolist()], np.int64)
    pairs = pairs.reshape(-1, 2)
    good = (pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
    return make_links(pairs[good, 0], pairs[good, 1], scores[near, column][good])


def _cosines(library: Library, rows: Vectors, ranking: Ranking) -> NDArray[np.float32]:
    """Return the cosines (n, k) of rows (n, D) with their neighbours; −inf where there is none."""
    if library.recipe.similarity in ("cosine", "dot"):  # of unit vectors, both are the cosine
        return np.minimum(ranking.scores, 1)
    found = ranking.ids
    ids, vectors = library.store.fetch(np.unique(found[found >= 0]).tolist())
    places = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
    neighbours = l2_normalise(vectors)
    scores = np.stack([neighbours[at] @ row for at, row in zip(places, l2_normalise(rows), strict=True)])
    return np.where(ids[places] == found, np.minimum(scores, 1), -np.inf).astype(np.float32)
