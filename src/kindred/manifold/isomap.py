"""Isomap: coordinates in which straight lines are as long as the ways along the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.manifold.graph import Distances, Places, joined_graph, nearest_others, symmetric_graph

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Isomap", "classical_mds"]

Matrix = NDArray[np.float64]

FEW = 2000
"""Up to so many rows, each is a landmark."""
LANDMARKS = 1000
"""Landmarks among more rows than that."""
NOISE = 1e-3
"""Share of the largest eigenvalue below which others are not counted."""
BLOCK = 1 << 23
"""Distances held in double precision at a time, 64 MB."""


def classical_mds(squares: Matrix, dimension: int) -> tuple[Matrix, Matrix]:
    """Return coordinates (L, d) whose distances come nearest to √`squares` (L, L), and the projection (L, d).

    The eigenvectors of −½ J S J, J = I − 1/L, times the roots of their eigenvalues (Torgerson 1952). d is `dimension`,
    or less where fewer eigenvalues are at least a thousandth of the largest: those below are mostly noise, which the
    projection would blow up. The projection places anything else: −½ (squared distances to the L rows − column means
    of `squares`) @ projection (de Silva and Tenenbaum 2004).
    """
    means = squares.mean(axis=0)
    inner = -0.5 * (squares - means - means[:, None] + means.mean())
    values, vectors = np.linalg.eigh(inner)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int(np.clip(np.count_nonzero(values > NOISE * values[0]), 1, dimension))
    values, vectors = np.maximum(values[:kept], 1e-30), vectors[:, :kept]
    # A direction's sign is arbitrary; its largest component is made positive, so that all machines agree.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)])
    return vectors * np.sqrt(values), vectors / np.sqrt(values)


@dataclass(frozen=True, eq=False)
class Isomap:
    """Classical multidimensional scaling of the shortest ways through the graph of neighbours (Tenenbaum et al. 2000).

    Two rows are linked by their distance if either is among the other's `neighbours` nearest; what is still apart is
    joined by the shortest bridges. Ways are measured from every row to L landmarks only (de Silva and Tenenbaum 2004),
    which are all rows up to 2,000 and a random thousand of more, so that memory is N × L.

    ways: (N, L) float32, from each row to each landmark. mean: (L,) float64 of their squares. projection: (L, d).
    reach: rows that a new vector is linked to.
    """

    ways: NDArray[np.float32]
    mean: Matrix
    projection: Matrix
    reach: int

    @classmethod
    def fit(
        cls, rows: Vectors, *, dimension: int, neighbours: int, landmarks: int | None = None, seed: int = 0
    ) -> Isomap:
        """Learn from rows (N, D), N > `dimension` and N > `neighbours`."""
        count = len(rows)
        number = min(count, landmarks or (count if count <= FEW else LANDMARKS))
        chosen = np.sort(np.random.default_rng(seed).permutation(count)[:number])
        graph = joined_graph(symmetric_graph(*nearest_others(rows, neighbours)), rows)
        ways = _ways(graph, chosen)
        squares = ways[chosen].astype(np.float64) ** 2
        _, projection = classical_mds((squares + squares.T) / 2, dimension)
        return cls(ways, squares.mean(axis=0), projection, neighbours)

    def __len__(self) -> int:
        return len(self.ways)

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """The coordinates (N, d) of the rows learned from."""
        return self._placed(self.ways)

    def extend(self, distances: Distances, places: Places) -> NDArray[np.float32]:
        """Return the coordinates (Q, d) of vectors given by their nearest rows, (Q, reach) distances and places.

        The way from a vector to a landmark is the shortest by way of its neighbours (Bengio et al. 2004).
        """
        ways = np.stack(
            [(self.ways[at] + each[:, None]).min(axis=0) for each, at in zip(distances, places, strict=True)]
        )
        return self._placed(ways)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be kept."""
        return {
            "ways": self.ways,
            "mean": self.mean,
            "projection": self.projection,
            "reach": np.array(self.reach),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Isomap:
        """Take back what `to_arrays` returned."""
        mean, projection = (arrays[name].astype(np.float64) for name in ("mean", "projection"))
        return cls(arrays["ways"].astype(np.float32), mean, projection, int(arrays["reach"]))

    def _placed(self, ways: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coordinates (n, d) of what is `ways` (n, L) from the landmarks."""
        placed = np.empty((len(ways), self.projection.shape[1]), np.float32)
        step = max(1, BLOCK // len(self.mean))
        for start in range(0, len(ways), step):
            squares = ways[start : start + step].astype(np.float64) ** 2
            placed[start : start + step] = -0.5 * (squares - self.mean) @ self.projection
        return placed


def _ways(graph: csr_matrix, landmarks: Places) -> NDArray[np.float32]:
    """Return the lengths (N, L) of the shortest ways from all rows to `landmarks` (L,) (Dijkstra 1959)."""
    from scipy.sparse.csgraph import dijkstra

    ways = np.empty((graph.shape[0], len(landmarks)), np.float32)
    step = max(1, BLOCK // graph.shape[0])
    for start in range(0, len(landmarks), step):
        block = dijkstra(graph, directed=False, indices=landmarks[start : start + step])
        ways[:, start : start + step] = block.T
    return ways
