"""Manifold re-ranking: results are compared in a manifold embedding of the gallery.

Two images connected by many short links through the gallery are close in the embedding, even if their vectors are
not. The embedding is computed once for a gallery; a query is embedded by means of its nearest images.
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
from kindred.rerank.shortlist import Reranked, checked_queries, compose, default_count, result_ids
from kindred.rerank.sparse import places_in

__all__ = ["GalleryManifold", "ManifoldOptions", "isomap", "spectral"]


@dataclass(frozen=True)
class ManifoldOptions:
    """Options of the manifold embedding of a gallery.

    method: a name of EMBEDDINGS. dimension: components of the embedding. neighbours: links of each image. Raises
    UsageError for options out of range.
    """

    method: str
    dimension: int = 64
    neighbours: int = 10

    def __post_init__(self) -> None:
        check_known("manifold", self.method, EMBEDDINGS, error=UsageError)
        check_whole(dimension=self.dimension, neighbours=self.neighbours)

    def has_enough(self, gallery: Gallery) -> bool:
        """Return whether a gallery has the `dimension` + 2 images that the embedding needs."""
        return len(gallery) >= self.dimension + 2


@dataclass(frozen=True, eq=False)
class GalleryManifold:
    """The manifold embedding of the N images of a gallery; their vectors stay in the gallery.

    ids: (N,) int64, ascending. layout: EMBEDDINGS[`method`] fitted to their vectors. Raises UsageError if the two do
    not match.
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
        """Compute the embedding of all images of a gallery.

        All vectors are in memory meanwhile, and each is compared with all others. Raises UsageError for fewer than
        `dimension` + 2 images, MissingExtra if SciPy is not installed.
        """
        blocks = list(gallery.blocks())
        rows = np.concatenate([rows for _, rows in blocks]) if blocks else np.empty((0, 1), np.float32)
        ids = np.concatenate([np.empty(0, np.int64), *(numbers for numbers, _ in blocks)])
        fitted = ManifoldEmbedding.fit(rows, options.method, dimension=options.dimension, neighbours=options.neighbours)
        return cls(ids, options.method, fitted.layout)

    @cached_property
    def rows_(self) -> Vectors:
        """The embedded images (N, d), as unit vectors."""
        return l2_normalise(self.layout.coordinates)

    def rerank(self, ranking: Ranking, context: Context, *, weight: float = 1.0) -> Ranking:
        """Return the same results by (1 − weight)·score + weight·(cosine in the embedding).

        Images that are not in the embedding follow in their old order. Raises UsageError for a `weight` outside
        [0, 1].
        """
        _check_weight(weight)
        queries = checked_queries(ranking, context)
        if not ranking.ids.size:
            return ranking
        near = context.gallery.search(queries, self.layout.reach).ids
        places = [self._place(query, ids, context.gallery) for query, ids in zip(queries, near, strict=True)]
        return compose(ranking, [self._rerank_one(ranking, q, place, weight) for q, place in enumerate(places)])

    def _place(self, query: NDArray[np.float32], near: NDArray[np.int64], gallery: Gallery) -> Vectors:
        """Return the embedding (1, d) of a query from its nearest images; (0, d) if none of them is embedded."""
        places = places_in(self.ids, near)
        ids, places = near[places >= 0], places[places >= 0]
        if not ids.size:
            return np.empty((0, self.rows_.shape[1]), np.float32)
        # Computed from the vectors, not from the scores, which a gallery may approximate.
        distances = np.linalg.norm(gallery.fetch(ids) - query, axis=1)
        order = np.argsort(distances, kind="stable")
        return l2_normalise(self.layout.extend(distances[order][None], places[order][None]))

    def _rerank_one(self, ranking: Ranking, query: int, place: Vectors, weight: float) -> Reranked:
        """Return the results of one query that are in the embedding, in their new order."""
        ids = result_ids(ranking, query)
        places = places_in(self.ids, ids)
        known = np.flatnonzero(places >= 0) if len(place) else np.empty(0, np.int64)
        cosines = np.einsum("nd,kd->n", self.rows_[places[known]], place)
        mixed = (1 - weight) * ranking.scores[query][known] + weight * cosines
        order, scores = top_k(mixed[None], max(1, len(known)))
        return ids[known][order[0]], scores[0]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the embedding as arrays, for `numpy.savez`."""
        return {"ids": self.ids, "method": np.array(self.method), **self.layout.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GalleryManifold:
        """Restore the embedding from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        try:
            method = str(arrays["method"])
            layout = EMBEDDINGS[method].from_arrays(arrays)
            return cls(arrays["ids"].astype(np.int64), method, layout)
        except (KeyError, UsageError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"manifold: damaged or missing ({error}); fit it again") from None


def spectral(
    ranking: Ranking, context: Context, *, dimension: int = 64, neighbours: int = 0, weight: float = 0.5
) -> Ranking:
    """Re-rank by the cosine in a spectral embedding of the gallery (Laplacian eigenmaps).

    The embedding has `dimension` components, from a graph with `neighbours` links per image; 0 is replaced by 10, or
    fewer in a small gallery. A query is embedded by the Nyström formula from its nearest images. Scores become
    (1 − weight)·score + weight·cosine; with a `weight` of 0.5 recall@1 and mAP of `kin` are
    not below those of the manifold alone on any of the three development sets. It needs several images of each object
    in the gallery. The same results are returned in another order.

    The embedding is taken from `context.cache`; without a cache it is computed at each call. A gallery of fewer than
    `dimension` + 2 images cannot be embedded: the ranking is returned unchanged. Raises UsageError for a `weight`
    outside [0, 1], MissingExtra if SciPy is not installed. Source: Belkin and Niyogi 2003; Bengio et al. 2004.
    """
    neighbours = default_count(neighbours, context.gallery, name="neighbours", least=3, most=10)
    return _rerank_on_manifold(ranking, context, ManifoldOptions("spectral", dimension, neighbours), weight)


def isomap(
    ranking: Ranking, context: Context, *, dimension: int = 64, neighbours: int = 0, weight: float = 0.5
) -> Ranking:
    """Re-rank by the cosine in an Isomap embedding of the gallery, which preserves geodesic distances.

    The options are those of `spectral`, which does better; `neighbours` is 4 at most by default, and the geodesics of
    a query go through its nearest images. With a `weight` of 1 recall@1 of `kin` falls by 0.08 to 0.27 on the three
    development sets; with 0.5 it falls by 0.08 on smvs-dvd, where no two images show the same, and by 0.02 on
    gardens-point.
    Source: Tenenbaum, de Silva and Langford 2000; de Silva and Tenenbaum 2004; Bengio et al. 2004.
    """
    neighbours = default_count(neighbours, context.gallery, name="neighbours", least=3, most=4)
    return _rerank_on_manifold(ranking, context, ManifoldOptions("isomap", dimension, neighbours), weight)


def _rerank_on_manifold(ranking: Ranking, context: Context, options: ManifoldOptions, weight: float) -> Ranking:
    """Re-rank in the embedding of the gallery, from the cache if there is one."""
    _check_weight(weight)
    if not options.has_enough(context.gallery):
        return ranking
    manifold = context.computed(GalleryManifold, str(options), lambda: GalleryManifold.fit(context.gallery, options))
    return manifold.rerank(ranking, context, weight=weight)


def _check_weight(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise UsageError(f"weight: got {weight}; expected 0 (the old score alone) to 1 (the manifold alone)")
