"""Images of similar descriptors: the nearest neighbours of each vector in the library's own index."""

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
"""Number of query vectors per search."""


def alike(library: Library, *, threshold: float, k: int, progress: Callable[[int, int], None] | None = None) -> Links:
    """Link images, by id, whose descriptors have a cosine of at least `threshold`, among the `k` nearest of each.

    Returns the maximum spanning forest of the links, the strongest first; it includes the link of each image to its
    nearest. Takes as long as a search for every image; memory is linear in the number of images. `progress` is called
    with the number of vectors searched and their total.
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
    """Return the links, by image id, between vectors (n, D) and their `k` nearest neighbours."""
    ranking = library.search_index.search(rows, k + 1)  # the first result is the vector itself
    scores = _cosines(library, rows, ranking)
    near, column = np.nonzero((scores >= threshold) & (ranking.ids != ids[:, None]))
    ends = np.stack([ids[near], ranking.ids[near, column]], axis=1)
    images = {
        number: row.image_id
        for number, row in library.store.rows(np.unique(ends).tolist()).items()
        if row.box is None  # images that share only a region are not duplicates
    }
    pairs = np.array([[images.get(one, -1), images.get(other, -1)] for one, other in ends.tolist()], np.int64)
    pairs = pairs.reshape(-1, 2)
    good = (pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
    return make_links(pairs[good, 0], pairs[good, 1], scores[near, column][good])


def _cosines(library: Library, rows: Vectors, ranking: Ranking) -> NDArray[np.float32]:
    """Return the cosines (n, k) of rows (n, D) with their neighbours; −inf for missing ones."""
    if library.recipe.similarity in ("cosine", "dot"):  # for unit vectors both are the cosine
        return np.minimum(ranking.scores, 1)
    found = ranking.ids
    ids, vectors = library.store.fetch(np.unique(found[found >= 0]).tolist())
    places = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
    neighbours = l2_normalise(vectors)
    scores = np.stack([neighbours[at] @ row for at, row in zip(places, l2_normalise(rows), strict=True)])
    return np.where(ids[places] == found, np.minimum(scores, 1), -np.inf).astype(np.float32)
