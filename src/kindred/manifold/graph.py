"""Nearest neighbours and sparse neighbourhood graphs, without N × N matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["connect_components", "mutual_graph", "nearest", "nearest_others", "symmetric_graph"]

Distances = NDArray[np.float32]
Places = NDArray[np.int64]

SMALLEST = 1e-9
"""Distance stored for equal rows: a sparse matrix cannot represent an edge of length 0."""
BLOCK = 1 << 24
"""Distances in memory at a time, 64 MB."""


def nearest(rows: Vectors, queries: Vectors, k: int) -> tuple[Distances, Places]:
    """Return the Euclidean distances (Q, k) and the positions (Q, k) of the `k` nearest of `rows`, nearest first.

    Exact. `k` is at most N.
    """
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    squares, places = index.search(queries, k)
    return np.sqrt(np.maximum(squares, 0)), places


def nearest_others(rows: Vectors, k: int) -> tuple[Distances, Places]:
    """Return the distances (N, k) and the positions (N, k) of the `k` nearest to each row, without the row itself."""
    distances, places = nearest(rows, rows, k + 1)
    own = places == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True  # with more than k rows equal to it, it may be missing: drop the last
    kept = np.nonzero(~own)[1].reshape(len(rows), k)
    return np.take_along_axis(distances, kept, 1), np.take_along_axis(places, kept, 1)


def symmetric_graph(distances: Distances, places: Places) -> csr_matrix:
    """Return the graph (N, N) of distances that connects two rows if either is a neighbour (N, k) of the other."""
    graph = _directed(distances, places)
    return graph.maximum(graph.T).tocsr()


def mutual_graph(distances: Distances, places: Places, *, always: int = 0) -> csr_matrix:
    """Return the graph (N, N) of distances that connects two rows if each is a neighbour (N, k) of the other.

    It has few false links, but leaves many rows isolated: `always` is the number of nearest neighbours to which each
    row is connected in any case.
    """
    graph = _directed(distances, places)
    mutual = graph.minimum(graph.T)
    return mutual.maximum(symmetric_graph(distances[:, :always], places[:, :always])).tocsr()


def connect_components(graph: csr_matrix, rows: Vectors) -> csr_matrix:
    """Connect the components of a graph (N, N) of distances by the shortest bridges, until it has one (Borůvka 1926).

    Only the rows outside the largest component are compared with all others, block by block.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    while True:
        count, part = connected_components(graph, directed=False)
        if count == 1:
            return graph
        ways = _shortest_bridges(rows, part, largest=int(np.argmax(np.bincount(part))))
        near, far, lengths = (np.array(each) for each in zip(*ways.values(), strict=True))
        bridges = coo_matrix((np.maximum(lengths, SMALLEST), (near, far)), shape=graph.shape).tocsr()
        graph = graph.maximum(bridges.maximum(bridges.T)).tocsr()


def _shortest_bridges(rows: Vectors, part: NDArray[np.int32], *, largest: int) -> dict[int, tuple[int, int, float]]:
    """Return for each component but the largest its shortest bridge (row in it, row outside it, distance)."""
    outside = np.flatnonzero(part != largest)
    squares = np.einsum("nd,nd->n", rows, rows)
    step = max(1, BLOCK // len(rows))
    ways: dict[int, tuple[int, int, float]] = {}
    for block in np.split(outside, range(step, len(outside), step)):
        apart = squares[block, None] + squares - 2 * rows[block] @ rows.T
        apart[part[block, None] == part] = np.inf
        others = apart.argmin(axis=1)
        lengths = np.sqrt(np.maximum(apart[np.arange(len(block)), others], 0))
        for one, other, length in zip(block.tolist(), others.tolist(), lengths.tolist(), strict=True):
            label = int(part[one])
            if label not in ways or length < ways[label][2]:
                ways[label] = (one, other, length)
    return ways


def _directed(distances: Distances, places: Places) -> csr_matrix:
    """Return the graph (N, N) with a link from each row to its neighbours (N, k)."""
    from scipy.sparse import csr_matrix

    count, k = places.shape
    lengths = np.maximum(distances, SMALLEST).astype(np.float64)
    starts = np.arange(count + 1) * k
    return csr_matrix((lengths.ravel(), places.ravel(), starts), shape=(count, count))
