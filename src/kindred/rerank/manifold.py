"""Manifold re-ranking: answers are compared where they lie along the manifold of the gallery.

Two images that many short steps through the gallery join come to lie together, however unlike they are at once. The
places are learned once from the gallery, a query's follows from those of its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole, l2_normalise, top_k
from kindred.errors import ModelError, UsageError
from kindred.hints import check_known
from kindred.manifold import EMBEDDINGS, ManifoldEmbedding
from kindred.manifold.isomap import Isomap
from kindred.manifold.spectral import Spectral
from kindred.ranking import Ranking
from kindred.rerank.context import Context, Gallery
from kindred.rerank.shortlist import Head, answers, checked_queries, compose
from kindred.rerank.sparse import places_in

__all__ = ["GalleryManifold", "ManifoldOptions", "isomap", "spectral"]


@dataclass(frozen=True)
class ManifoldOptions:
    """How the images of a gallery are laid out.

    method: a name of EMBEDDINGS. dimension: numbers of a place. neighbours: how many are near each image. Raises
    UsageError for one out of range.
    """

    method: str
    dimension: int = 64
    neighbours: int = 10

    def __post_init__(self) -> None:
        check_known("manifold", self.method, EMBEDDINGS, error=UsageError)
        check_whole(dimension=self.dimension, neighbours=self.neighbours)

    def suit(self, gallery: Gallery) -> bool:
        """Say whether a gallery holds the `dimension` + 2 images that it takes."""
        return len(gallery) >= self.dimension + 2


@dataclass(frozen=True, eq=False)
class GalleryManifold:
    """The places of N images along their manifold; the images' vectors themselves stay in the gallery.

    ids: (N,) int64, ascending. layout: what EMBEDDINGS[`method`] learned of their vectors. Raises UsageError where the
    two do not fit.
    """

    KIND: ClassVar[str] = "manifold"

    ids: NDArray[np.int64]
    method: str
    layout: Spectral | Isomap = field(repr=False)

    def __post_init__(self) -> None:
        if self.ids.shape != (len(self.layout),) or (np.diff(self.ids) <= 0).any():
            raise UsageError(f"ids: got shape {self.ids.shape}; expected ({len(self.layout)},), ascending")

    @classmethod
    def fit(cls, gallery: Gallery, options: ManifoldOptions) -> GalleryManifold:
        """Lay out all images of a gallery.

        All vectors are held while it is done, and each is compared with all others. Raises UsageError for fewer than
        `dimension` + 2 images, MissingExtra where SciPy is not installed.
        """
        blocks = list(gallery.blocks())
        rows = np.concatenate([rows for _, rows in blocks]) if blocks else np.empty((0, 1), np.float32)
        ids = np.concatenate([np.empty(0, np.int64), *(numbers for numbers, _ in blocks)])
        fitted = ManifoldEmbedding.fit(rows, options.method, dimension=options.dimension, neighbours=options.neighbours)
        return cls(ids, options.method, fitted.layout)

    @cached_property
    def rows_(self) -> Vectors:
        """The places (N, d) of the images, as unit vectors."""
        return l2_normalise(self.layout.coordinates)

    def rerank(self, ranking: Ranking, context: Context, *, weight: float = 1.0) -> Ranking:
        """Return the same answers by (1 − weight)·score + weight·(cosine of the places of query and image).

        An image that was not laid out keeps its place behind those that were. Raises UsageError for a `weight` outside
        [0, 1].
        """
        _check_weight(weight)
        queries = checked_queries(ranking, context)
        if not ranking.ids.size:
            return ranking
        near = context.gallery.search(queries, self.layout.reach).ids
        places = [self._place(query, ids, context.gallery) for query, ids in zip(queries, near, strict=True)]
        return compose(ranking, [self._head(ranking, q, place, weight) for q, place in enumerate(places)])

    def _place(self, query: NDArray[np.float32], near: NDArray[np.int64], gallery: Gallery) -> Vectors:
        """Return the place (1, d) of a query given its nearest images; (0, d) where none of them was laid out."""
        places = places_in(self.ids, near)
        ids, places = near[places >= 0], places[places >= 0]
        if not ids.size:
            return np.empty((0, self.rows_.shape[1]), np.float32)
        # Measured on the vectors, not told from the score: a gallery may score by something else, or roughly.
        distances = np.linalg.norm(gallery.fetch(ids) - query, axis=1)
        order = np.argsort(distances, kind="stable")
        return l2_normalise(self.layout.extend(distances[order][None], places[order][None]))

    def _head(self, ranking: Ranking, query: int, place: Vectors, weight: float) -> Head:
        """Return the answers of one query that have places, in their new order."""
        ids = answers(ranking, query)
        places = places_in(self.ids, ids)
        known = np.flatnonzero(places >= 0) if len(place) else np.empty(0, np.int64)
        cosines = np.einsum("nd,kd->n", self.rows_[places[known]], place)
        mixed = (1 - weight) * ranking.scores[query][known] + weight * cosines
        order, scores = top_k(mixed[None], max(1, len(known)))
        return ids[known][order[0]], scores[0]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be stored, for `numpy.savez`."""
        return {"ids": self.ids, "method": np.array(self.method), **self.layout.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GalleryManifold:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
        try:
            method = str(arrays["method"])
            layout = EMBEDDINGS[method].from_arrays(arrays)
            return cls(arrays["ids"].astype(np.int64), method, layout)
        except (KeyError, UsageError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"manifold: damaged or missing ({error}); fit it again") from None


def spectral(
    ranking: Ranking, context: Context, *, dimension: int = 64, neighbours: int = 10, weight: float = 1.0
) -> Ranking:
    """Order the answers by the cosine in a spectral embedding of the gallery, along short links between neighbours.

    The embedding has `dimension` numbers, from a graph of `neighbours` links an image; a query is placed among its
    nearest images by the Nyström formula. Scores become (1 − weight)·score + weight·cosine; where the score is a
    cosine too, half and half often does better than the manifold alone. It takes several images of a thing in the
    gallery: where each thing is there once, it makes answers worse. Answers are the same ones, in another order.

    The embedding is taken from `context.cache`; without one it is computed at each call. A gallery of fewer than
    `dimension` + 2 images has no such embedding: the ranking is returned unchanged. Raises UsageError for a `weight`
    outside [0, 1], MissingExtra where SciPy is not installed. Source: Belkin and Niyogi 2003; Bengio et al. 2004.
    """
    return _along(ranking, context, ManifoldOptions("spectral", dimension, neighbours), weight)


def isomap(
    ranking: Ranking, context: Context, *, dimension: int = 64, neighbours: int = 4, weight: float = 1.0
) -> Ranking:
    """Order the answers by the cosine in an Isomap of the gallery, in which the ways from image to image are straight.

    The options are those of `spectral`, which does better; a query's ways go by its nearest images. Source: Tenenbaum,
    de Silva and Langford 2000; de Silva and Tenenbaum 2004; Bengio et al. 2004.
    """
    return _along(ranking, context, ManifoldOptions("isomap", dimension, neighbours), weight)


def _along(ranking: Ranking, context: Context, options: ManifoldOptions, weight: float) -> Ranking:
    """Re-rank on the manifold that the options make of the gallery."""
    _check_weight(weight)
    if not options.suit(context.gallery):
        return ranking
    manifold = context.computed(GalleryManifold, str(options), lambda: GalleryManifold.fit(context.gallery, options))
    return manifold.rerank(ranking, context, weight=weight)


def _check_weight(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise UsageError(f"weight: got {weight}; expected 0 (the old score alone) to 1 (the manifold alone)")
