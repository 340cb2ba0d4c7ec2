"""Spectral embedding (Laplacian eigenmaps): strongly connected rows are near one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, with_fixed_signs
from kindred.manifold.graph import Distances, Places, connect_components, mutual_graph, nearest_others

__all__ = ["Spectral"]

WEAKEST = 1e-4
"""The least weight of a link, so that components connected by bridges stay connected."""


@dataclass(frozen=True, eq=False)
class Spectral:
    """The leading eigenvectors of the normalised affinity matrix of the neighbourhood graph, as coordinates.

    Two rows are linked if each is among the other's `neighbours` nearest, and each row to its nearest third of them
    in any case; separate components are connected by the shortest bridges. The weight of a link is exp(−d² / σiσj),
    with σ the distance to the median neighbour (Zelnik-Manor and Perona 2004); that of a row to itself is 1. With D
    the row sums of W, the eigenvectors u of D^−½ W D^−½ with the largest eigenvalues λ, except the first, give the
    coordinates D^−½ u (Belkin and Niyogi 2003), each divided by √(1 − αλ): with α = 0 there is no such scaling;
    towards 1 the leading ones are emphasised, and dot products become those of diffusion (Iscen et al. 2018).

    coordinates: (N, d) float32. eigenvalues: (d,) float32, decreasing. scales: (N,) float32, σ. reach: number of rows
    to which a new vector is linked.
    """

    coordinates: NDArray[np.float32]
    eigenvalues: NDArray[np.float32]
    scales: NDArray[np.float32]
    reach: int

    @classmethod
    def fit(
        cls, rows: Vectors, *, dimension: int, neighbours: int, alpha: float = 0.98, mutual: bool = True, seed: int = 0
    ) -> Spectral:
        """Fit to rows (N, D), N ≥ `dimension` + 2 and N > `neighbours`.

        mutual: whether links must be mutual, as above. If not, one direction suffices, which is better for maps in few
        dimensions: with mutual links the first dimensions mostly separate small components behind a bridge.
        """
        from scipy.sparse import diags

        middle = max(1, neighbours // 2)
        distances, places = nearest_others(rows, neighbours)
        scales = _floored(distances[:, middle - 1])
        always = max(1, neighbours // 3) if mutual else neighbours
        graph = connect_components(mutual_graph(distances, places, always=always), rows)
        weights = graph.tocoo()
        weights.data = _weights(weights.data, scales[weights.row], scales[weights.col])
        weights = weights.tocsr() + diags(np.ones(len(rows)))
        roots = np.sqrt(np.asarray(weights.sum(axis=1)).ravel())
        smooth = diags(1 / roots) @ weights @ diags(1 / roots)
        values, vectors = _largest(smooth, dimension + 1, seed)
        values, vectors = values[1:], vectors[:, 1:]
        coordinates = vectors / roots[:, None] / np.sqrt(1 - alpha * values)
        # The scale of eigenvectors is arbitrary; this one does not depend on the number of rows.
        coordinates *= np.sqrt(len(rows)) / max(np.linalg.norm(coordinates[:, 0]), 1e-30)
        return cls(coordinates.astype(np.float32), values.astype(np.float32), scales, middle)

    def __len__(self) -> int:
        return len(self.coordinates)

    def extend(self, distances: Distances, places: Places) -> NDArray[np.float32]:
        """Return the coordinates (Q, d) of vectors given by their nearest rows, (Q, reach) distances and positions.

        Each is the weighted mean of the coordinates of its neighbours, divided by the eigenvalues: the Nyström formula
        (Bengio et al. 2004).
        """
        own = _floored(distances[:, -1])
        weights = _weights(distances, own[:, None], self.scales[places])
        means = np.einsum("qk,qkd->qd", weights, self.coordinates[places]) / weights.sum(axis=1, keepdims=True)
        extended: NDArray[np.float32] = (means / self.eigenvalues).astype(np.float32)
        return extended

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fitted arrays by name."""
        return {
            "coordinates": self.coordinates,
            "eigenvalues": self.eigenvalues,
            "scales": self.scales,
            "reach": np.array(self.reach),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Spectral:
        """Restore from the arrays of `to_arrays`."""
        names = ("coordinates", "eigenvalues", "scales")
        coordinates, eigenvalues, scales = (arrays[name].astype(np.float32) for name in names)
        return cls(coordinates, eigenvalues, scales, int(arrays["reach"]))


def _floored(scales: Distances) -> NDArray[np.float32]:
    """Bound scales (n,) away from 0, their value for duplicate rows."""
    return np.maximum(scales, max(1e-3 * float(scales.mean()), 1e-12)).astype(np.float32)


def _weights(distances: NDArray[Any], ones: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of links from their lengths and the scales at both ends."""
    squares = distances.astype(np.float64) ** 2 / (ones.astype(np.float64) * others)
    weights: NDArray[np.float64] = np.maximum(np.exp(-squares), WEAKEST)
    return weights


def _largest(matrix: Any, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues (count,), decreasing, and eigenvectors (N, count) of a symmetric sparse matrix."""
    from scipy.sparse.linalg import eigsh

    size = matrix.shape[0]
    if count >= size - 1 or size <= 64:  # too small for Lanczos iteration
        values, vectors = np.linalg.eigh(matrix.toarray())
    else:
        start = np.random.default_rng(seed).standard_normal(size)
        values, vectors = eigsh(matrix, k=count, which="LA", v0=start)
    order = np.argsort(-values)[:count]
    values, vectors = values[order], vectors[:, order]
    return values, with_fixed_signs(vectors, axis=0)
