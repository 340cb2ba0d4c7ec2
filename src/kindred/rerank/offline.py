"""Offline diffusion: diffusion from every image is computed in advance, a query combines some (Yang et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_positive, check_whole
from kindred.ranking import Ranking
from kindred.rerank.context import Context, Gallery
from kindred.rerank.diffusion import best_positive, check_alpha, default_neighbours, start_nodes
from kindred.rerank.graph import NeighbourGraph, conjugate_gradient
from kindred.rerank.neighbours import Progress, nearest_rows
from kindred.rerank.shortlist import Reranked, checked_queries, compose
from kindred.rerank.sparse import SparseRows

__all__ = ["OfflineDiffusion", "OfflineOptions", "offline_diffusion"]

Places = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class OfflineOptions:
    """Options of the diffusion from every image.

    alpha, iterations, tolerance: those of `diffusion`. truncate: the number of nearest images that are used. keep: the
    number of largest values that are stored per image. Raises UsageError for options out of range.
    """

    alpha: float = 0.99
    iterations: int = 20
    tolerance: float = 1e-6
    truncate: int = 1000
    keep: int = 1000

    def __post_init__(self) -> None:
        check_whole(iterations=self.iterations, truncate=self.truncate, keep=self.keep)
        check_positive(tolerance=self.tolerance)
        check_alpha(self.alpha)


@dataclass(frozen=True, eq=False)
class OfflineDiffusion(SparseRows):
    """The diffusion from each of N images, as sparse rows of (I − alpha·S)⁻¹; row i is that of image `ids[i]`."""

    KIND: ClassVar[str] = "spread"

    @classmethod
    def fit(
        cls,
        gallery: Gallery,
        graph: NeighbourGraph,
        *,
        options: OfflineOptions | None = None,
        approximate: bool | None = None,
        progress: Progress | None = None,
    ) -> OfflineDiffusion:
        """Solve (I − alpha·S) f = e_i for every image i of a gallery, on the subgraph of its nearest images.

        The subgraph is normalised by the degrees of the whole graph, so that the rows of different images are
        comparable. approximate: as in `find_neighbours`. progress: called with the images done and their number.
        """
        chosen = options or OfflineOptions()
        degrees = graph.degrees()
        columns, weights = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.float32)]
        counts = np.zeros(len(graph), dtype=np.int64)
        done = 0
        for _, _, near, _ in nearest_rows(gallery, chosen.truncate, graph.ids, approximate=approximate):
            for row in near:
                spread = solve_spread(graph, degrees, done, row[row >= 0], chosen)
                columns.append(spread[0])
                weights.append(spread[1])
                counts[done] = len(spread[0])
                done += 1
            if progress is not None:
                progress(done, len(graph))
        indptr = np.concatenate(([0], np.cumsum(counts)))
        return cls(graph.ids, indptr, np.concatenate(columns), np.concatenate(weights))

    def rerank(self, ranking: Ranking, context: Context, *, kq: int = 10, gamma: float = 3.0) -> Ranking:
        """Return the ranking by f = Σ y_i F_i over the `kq` best results i, y_i = max(cosine, 0)^gamma.

        There are as many results as before; images with f = 0 follow in their old order.
        """
        check_whole(kq=kq)
        check_positive(gamma=gamma)
        checked_queries(ranking, context)
        return compose(ranking, [self._rerank_one(ranking, context, q, kq, gamma) for q in range(len(ranking))])

    def _rerank_one(self, ranking: Ranking, context: Context, query: int, kq: int, gamma: float) -> Reranked:
        sources, y = start_nodes(ranking, context, query, nodes=self, kq=kq, gamma=gamma)
        entries, counts = self.entries(sources)
        found, places = np.unique(self.indices[entries], return_inverse=True)
        f = np.bincount(places, self.weights[entries] * np.repeat(y, counts), minlength=len(found)).astype(np.float64)
        return best_positive(self.ids[found], f, ranking.ids.shape[1])


def offline_diffusion(
    ranking: Ranking,
    context: Context,
    *,
    k: int = 0,
    kq: int = 0,
    gamma: float = 3.0,
    alpha: float = 0.99,
    iterations: int = 20,
    tolerance: float = 1e-6,
    truncate: int = 1000,
    keep: int = 1000,
) -> Ranking:
    """Rank as `diffusion` does, from the diffusion of every image, computed once for the whole gallery.

    The options are those of `diffusion`; of each image's diffusion over its `truncate` nearest images the `keep`
    largest values are stored, 8 bytes each. They are taken from `context.cache`; without a cache they are computed at
    each call, which takes far longer than `diffusion` itself. Source: Yang et al. 2019.
    """
    options = OfflineOptions(alpha, iterations, tolerance, truncate, keep)
    k, kq = default_neighbours(len(context.gallery), k=k, kq=kq)

    def fit() -> OfflineDiffusion:
        graph = NeighbourGraph.of(context, k=k, gamma=gamma)
        return OfflineDiffusion.fit(context.gallery, graph, options=options, progress=context.progress)

    spreads = context.computed(OfflineDiffusion, f"k={k} gamma={gamma!r} {options}", fit)
    return spreads.rerank(ranking, context, kq=kq, gamma=gamma)


def solve_spread(
    graph: NeighbourGraph, degrees: Values, image: int, near: Places, options: OfflineOptions
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nodes (n,), ascending, and the values (n,) of the diffusion from one image that are stored."""
    nodes = np.union1d(near, [image])
    part = graph.normalised(nodes, degrees=degrees)
    source = (nodes == image).astype(np.float64)
    f = conjugate_gradient(
        lambda x: x - options.alpha * part.times(x), source, iterations=options.iterations, tolerance=options.tolerance
    ).astype(np.float32)
    kept = np.flatnonzero(f > 0)
    if len(kept) > options.keep:
        kept = np.sort(kept[np.argsort(-f[kept], kind="stable")[: options.keep]])
    return nodes[kept].astype(np.int32), f[kept]
