"""Isomap: coordinates whose Euclidean distances approximate geodesic distances along the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, with_fixed_signs
from kindred.manifold.graph import Distances, Places, connect_components, nearest_others, symmetric_graph

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Isomap", "classical_mds"]

Matrix = NDArray[np.float64]

ALL_LANDMARKS = 2000
"""Up to this number of rows, all are landmarks."""
LANDMARKS = 1000
"""Number of landmarks for more rows."""
NOISE = 1e-3
"""Eigenvalues below this fraction of the largest are ignored."""
BLOCK = 1 << 23
"""Distances in memory in double precision at a time, 64 MB."""


def classical_mds(squares: Matrix, dimension: int) -> tuple[Matrix, Matrix]:
    """Return coordinates (L, d) whose squared distances approximate `squares` (L, L), and the projection (L, d).

    The coordinates are the eigenvectors of −½ J S J, J = I − 1/L, times the square roots of their eigenvalues
    (Torgerson 1952). d is `dimension`, or less if fewer eigenvalues are at least a thousandth of the largest: smaller
    ones are mostly noise, which the projection would amplify. The projection embeds other points: −½ (squared
    distances to the L rows − column means of `squares`) @ projection (de Silva and Tenenbaum 2004).
    """
    means = squares.mean(axis=0)
    inner = -0.5 * (squares - means - means[:, None] + means.mean())
    values, vectors = np.linalg.eigh(inner)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int(np.clip(np.count_nonzero(values > NOISE * values[0]), 1, dimension))
    values, vectors = np.maximum(values[:kept], 1e-30), vectors[:, :kept]
    vectors = with_fixed_signs(vectors, axis=0)
    return vectors * np.sqrt(values), vectors / np.sqrt(values)


@dataclass(frozen=True, eq=False)
class Isomap:
    """Classical multidimensional scaling of the shortest paths in the neighbourhood graph (Tenenbaum et al. 2000).

    Two rows are linked by their distance if either is among the other's `neighbours` nearest; separate components are
    connected by the shortest bridges. Shortest paths are computed from every row to L landmarks only (de Silva and
    Tenenbaum 2004): all rows up to 2,000, otherwise 1,000 random rows, so that memory is N × L.

    geodesics: (N, L) float32, from each row to each landmark. mean: (L,) float64 of their squares. projection: (L, d).
    reach: number of rows to which a new vector is linked.
    """

    geodesics: NDArray[np.float32]
    mean: Matrix
    projection: Matrix
    reach: int

    @classmethod
    def fit(
        cls, rows: Vectors, *, dimension: int, neighbours: int, landmarks: int | None = None, seed: int = 0
    ) -> Isomap:
        """Fit to rows (N, D), N > `dimension` and N > `neighbours`."""
        count = len(rows)
        number = min(count, landmarks or (count if count <= ALL_LANDMARKS else LANDMARKS))
        chosen = np.sort(np.random.default_rng(seed).permutation(count)[:number])
        graph = connect_components(symmetric_graph(*nearest_others(rows, neighbours)), rows)
        geodesics = _geodesics(graph, chosen)
        squares = geodesics[chosen].astype(np.float64) ** 2
        _, projection = classical_mds((squares + squares.T) / 2, dimension)
        return cls(geodesics, squares.mean(axis=0), projection, neighbours)

    def __len__(self) -> int:
        return len(self.geodesics)

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """The coordinates (N, d) of the fitted rows."""
        return self._coordinates_of(self.geodesics)

    def extend(self, distances: Distances, places: Places) -> NDArray[np.float32]:
        """Return the coordinates (Q, d) of vectors given by their nearest rows, (Q, reach) distances and positions.

        The geodesic distance from a vector to a landmark is the shortest through its neighbours (Bengio et al. 2004).
        """
        geodesics = np.stack(
            [(self.geodesics[at] + each[:, None]).min(axis=0) for each, at in zip(distances, places, strict=True)]
        )
        return self._coordinates_of(geodesics)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fitted arrays by name."""
        return {
            "geodesics": self.geodesics,
            "mean": self.mean,
            "projection": self.projection,
            "reach": np.array(self.reach),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Isomap:
        """Restore from the arrays of `to_arrays`."""
        mean, projection = (arrays[name].astype(np.float64) for name in ("mean", "projection"))
        return cls(arrays["geodesics"].astype(np.float32), mean, projection, int(arrays["reach"]))

    def _coordinates_of(self, geodesics: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coordinates (n, d) of points by their geodesic distances (n, L) to the landmarks."""
        coordinates = np.empty((len(geodesics), self.projection.shape[1]), np.float32)
        step = max(1, BLOCK // len(self.mean))
        for start in range(0, len(geodesics), step):
            squares = geodesics[start : start + step].astype(np.float64) ** 2
            coordinates[start : start + step] = -0.5 * (squares - self.mean) @ self.projection
        return coordinates


def _geodesics(graph: csr_matrix, landmarks: Places) -> NDArray[np.float32]:
    """Return the lengths (N, L) of the shortest paths from all rows to `landmarks` (L,) (Dijkstra 1959)."""
    from scipy.sparse.csgraph import dijkstra

    geodesics = np.empty((graph.shape[0], len(landmarks)), np.float32)
    step = max(1, BLOCK // graph.shape[0])
    for start in range(0, len(landmarks), step):
        block = dijkstra(graph, directed=False, indices=landmarks[start : start + step])
        geodesics[:, start : start + step] = block.T
    return geodesics
