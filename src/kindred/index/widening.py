"""Widening: an approximate search is repeated with more effort until it has found k images.

Every approximate search can return fewer images than asked for: rows of its graph were removed, do not pass a filter,
belong to an image that was found already, or are no longer in the store. All such indexes go on by `widened`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.index.id_map import Found

__all__ = ["Owners", "SearchWith", "efforts_up_to", "widened"]

SearchWith: TypeAlias = Callable[[NDArray[np.int64], int], Found]
"""Numbers of queries (q,), and an effort, such as the number of candidates → ids and scores (q, n), best first.

−1 pads the ids of a query with fewer results.
"""
Owners: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Ids (n,) → the image of each, or the id itself if an image has one row; −1 for ids that must not be returned."""

STEP = 4
"""Factor of one effort to the next."""


def efforts_up_to(first: int, most: int) -> list[int]:
    """Return `first`, and ever greater efforts up to `most`.

    >>> efforts_up_to(20, 500)
    [20, 80, 320, 500]
    """
    efforts = [min(first, most)]
    while efforts[-1] < most:
        efforts.append(min(STEP * efforts[-1], most))
    return efforts


def widened(search: SearchWith, owners: Owners, queries: int, k: int, *, efforts: Sequence[int]) -> Found:
    """Return ids and scores (Q, k): the best row of each of the k best images, for Q queries.

    A query that lacks results after one of `efforts` is searched again with the next; what is lacking after the last is
    padded with id −1 and score −inf.
    """
    ids = np.full((queries, k), -1, np.int64)
    scores = np.full((queries, k), -np.inf, np.float32)
    lacking = np.arange(queries)
    for effort in efforts:
        found, best = search(lacking, effort)
        images = np.where(found < 0, -1, owners(found.ravel()).reshape(found.shape))
        for number, query in enumerate(lacking.tolist()):
            places = _firsts(images[number])[:k]
            ids[query, : len(places)], scores[query, : len(places)] = found[number, places], best[number, places]
        lacking = lacking[ids[lacking, -1] < 0] if k else lacking[:0]
        if not lacking.size:
            break
    return ids, scores


def _firsts(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places at which each image occurs first, ascending; −1 is no image."""
    there = np.flatnonzero(images >= 0)
    _, first = np.unique(images[there], return_index=True)
    return there[np.sort(first)]
