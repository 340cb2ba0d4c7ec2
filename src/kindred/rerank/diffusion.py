"""Diffusion: similarity spreads from the best results over the graph of mutual neighbours (Iscen et al. 2017).

f solves (I − alpha·S) f = y, where y holds the similarities of the query's best results and S is the normalised
graph: an image is ranked by how well it is connected to them. `diffusion` is the re-ranker, `Diffusion` the same for
a given graph; `kindred.rerank.offline` solves the equations for every image in advance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole, top_k
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank.context import Context, Gallery
from kindred.rerank.graph import NeighbourGraph, conjugate_gradient
from kindred.rerank.shortlist import Reranked, checked_queries, compose, result_ids
from kindred.rerank.sparse import SparseRows

__all__ = ["Diffusion", "best_positive", "check_alpha", "default_neighbours", "diffusion", "start_nodes"]

Places = NDArray[np.int64]
Values = NDArray[np.float64]

BLOCK_QUERIES = 64
"""Queries searched at a time."""
K, KQ = 50, 10
"""The k and kq of Iscen et al., for galleries of many thousands of images."""
LEAST_K = 10


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A re-ranker by diffusion on a given graph.

    The graph is that of the gallery that was searched; images that are not in it stay in their order after those that
    are. The options are those of `diffusion`. Raises UsageError for options out of range.
    """

    graph: NeighbourGraph
    kq: int = 10
    gamma: float = 3.0
    alpha: float = 0.99
    iterations: int = 20
    tolerance: float = 1e-6
    truncate: int = 5000

    def __post_init__(self) -> None:
        check_whole(kq=self.kq, iterations=self.iterations, truncate=self.truncate)
        check_positive(gamma=self.gamma, tolerance=self.tolerance)
        check_alpha(self.alpha)

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Return the ranking by f, with as many results as before; images with f = 0 follow in their old order."""
        queries = checked_queries(ranking, context)
        reranked = []
        for q, near in enumerate(self._near(queries, context.gallery)):
            sources, y = start_nodes(ranking, context, q, nodes=self.graph, kq=self.kq, gamma=self.gamma)
            nodes = None if near is None else np.union1d(near, sources)
            f = self._spread(nodes, sources, y)
            reranked.append(
                best_positive(self.graph.ids if nodes is None else self.graph.ids[nodes], f, ranking.ids.shape[1])
            )
        return compose(ranking, reranked)

    def _near(self, queries: Vectors, gallery: Gallery) -> Iterator[Places | None]:
        """Yield for each query the nodes of its `truncate` nearest images; None if that is the whole graph."""
        if self.truncate >= len(self.graph):
            yield from [None] * len(queries)
            return
        for start in range(0, len(queries), BLOCK_QUERIES):
            for ids in gallery.search(queries[start : start + BLOCK_QUERIES], self.truncate).ids:
                places = self.graph.places(ids[ids >= 0])
                yield places[places >= 0]

    def _spread(self, nodes: Places | None, sources: Places, y: Values) -> Values:
        """Return f of all nodes, or of `nodes`, for the similarities y at `sources`."""
        part = self.graph.normalised(nodes)
        spread_from = np.zeros(part.size)
        spread_from[sources if nodes is None else np.searchsorted(nodes, sources)] = y
        return conjugate_gradient(
            lambda x: x - self.alpha * part.times(x), spread_from, iterations=self.iterations, tolerance=self.tolerance
        )


def diffusion(
    ranking: Ranking,
    context: Context,
    *,
    k: int = 0,
    kq: int = 0,
    gamma: float = 3.0,
    alpha: float = 0.99,
    iterations: int = 20,
    tolerance: float = 1e-6,
    truncate: int = 5000,
) -> Ranking:
    """Rank by f of (I − alpha·S) f = y, where y is max(cosine, 0)^gamma for the `kq` best results and 0 elsewhere.

    The best results are those of the ranking, so that re-rankers can be chained. S is the normalised graph of mutual
    `k` nearest neighbours, weighted by max(cosine, 0)^gamma. `k` and `kq` of 0 are replaced by `default_neighbours`
    of the gallery: 50 and 10 from 1,000 images on, fewer below. f is computed by conjugate gradients, with at most
    `iterations` steps or until the residual is `tolerance` times ‖y‖. Only the `truncate` images nearest to the query
    are used: their subgraph is normalised on its own. Images that diffusion does not reach follow in their old order.
    The graph is taken from `context.cache`; without a cache it is built at each call, which takes far longer than the
    search. Raises UsageError for options out of range. Source: Iscen et al. 2017.
    """
    k, kq = default_neighbours(len(context.gallery), k=k, kq=kq)
    graph = NeighbourGraph.of(context, k=k, gamma=gamma)
    method = Diffusion(graph, kq, gamma, alpha, iterations, tolerance, truncate)
    return method(ranking, context)


def default_neighbours(count: int, *, k: int, kq: int) -> tuple[int, int]:
    """Return `k` and `kq` for a gallery of `count` images, each replaced by a default if it is 0.

    The default of k is 50, but at most a twentieth of the gallery and at least 10; that of kq is 10, but at most a
    hundredth and at least 1. With more, the graph of a small gallery is nearly complete, and diffusion starts mostly
    from images that are not relevant.
    """
    return k or min(K, max(LEAST_K, count // 20)), kq or min(KQ, max(1, count // 100))


def start_nodes(
    ranking: Ranking, context: Context, query: int, *, nodes: SparseRows, kq: int, gamma: float
) -> tuple[Places, Values]:
    """Return the nodes (n,) of the `kq` best results in the graph, and their max(cosine, 0)^gamma."""
    ids = result_ids(ranking, query)
    places = nodes.places(ids)
    best = np.flatnonzero(places >= 0)[:kq]
    if not best.size:
        return places[best], np.empty(0)
    cosines = context.gallery.fetch(ids[best]) @ np.asarray(context.queries[query], dtype=np.float32)
    # Clipped before the power: an even gamma would make a negative cosine a large weight.
    return places[best], np.maximum(cosines, 0).astype(np.float64) ** gamma


def best_positive(ids: NDArray[np.int64], f: Values, k: int) -> Reranked:
    """Return the best `k` of `ids` (n,) by f (n,), among those with f > 0."""
    order, scores = top_k(f[None], max(1, k))
    above = scores[0] > 0
    return ids[order[0][above]], scores[0][above]


def check_alpha(alpha: float) -> None:
    """Raise UsageError for an `alpha` for which the equations have no unique solution."""
    if not 0 <= alpha < 1:
        raise UsageError(f"alpha: got {alpha}; expected at least 0 and below 1")
