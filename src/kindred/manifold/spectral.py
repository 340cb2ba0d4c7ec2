"""Spectral embedding: rows that many short ways join come to lie together (Laplacian eigenmaps)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.manifold.graph import Distances, Places, joined_graph, mutual_graph, nearest_others

__all__ = ["Spectral"]

WEAKEST = 1e-4
"""The least weight of a link, so that what bridges join stays one."""


@dataclass(frozen=True, eq=False)
class Spectral:
    """The slowest ways in which heat evens out over the graph of neighbours, as coordinates.

    Two rows are linked if each is among the other's `neighbours` nearest, and each row to its nearest third of them
    in any case; what is still apart is joined by the shortest bridges. A link weighs exp(−d² / σiσj), σ the distance
    to the neighbour in the middle (Zelnik-Manor and Perona 2004), a row itself 1. With D the sums of weights, the
    eigenvectors u of D^−½ W D^−½ but the first, with the largest eigenvalues λ, give the coordinates D^−½ u (Belkin
    and Niyogi 2003), each divided by √(1 − αλ): at α = 0 none, towards 1 the slow ones count for more, and dot
    products become those of a diffusion (Iscen et al. 2018).

    coordinates: (N, d) float32. eigenvalues: (d,) float32, falling. scales: (N,) float32, σ. reach: rows that a new
    vector is linked to.
    """

    coordinates: NDArray[np.float32]
    eigenvalues: NDArray[np.float32]
    scales: NDArray[np.float32]
    reach: int

    @classmethod
    def fit(
        cls, rows: Vectors, *, dimension: int, neighbours: int, alpha: float = 0.98, mutual: bool = True, seed: int = 0
    ) -> Spectral:
        """Learn from rows (N, D), N ≥ `dimension` + 2 and N > `neighbours`.

        mutual: as above; if not, one of two is enough for a link, which draws better in few dimensions: otherwise the
        first of them are spent on small parts that hang by a bridge.
        """
        from scipy.sparse import diags

        middle = max(1, neighbours // 2)
        distances, places = nearest_others(rows, neighbours)
        scales = _floored(distances[:, middle - 1])
        always = max(1, neighbours // 3) if mutual else neighbours
        graph = joined_graph(mutual_graph(distances, places, always=always), rows)
        weights = graph.tocoo()
        weights.data = _weights(weights.data, scales[weights.row], scales[weights.col])
        weights = weights.tocsr() + diags(np.ones(len(rows)))
        roots = np.sqrt(np.asarray(weights.sum(axis=1)).ravel())
        smooth = diags(1 / roots) @ weights @ diags(1 / roots)
        values, vectors = _largest(smooth, dimension + 1, seed)
        values, vectors = values[1:], vectors[:, 1:]
        coordinates = vectors / roots[:, None] / np.sqrt(1 - alpha * values)
        # Of no set size by itself; like this, the numbers do not shrink as rows are added.
        coordinates *= np.sqrt(len(rows)) / max(np.linalg.norm(coordinates[:, 0]), 1e-30)
        return cls(coordinates.astype(np.float32), values.astype(np.float32), scales, middle)

    def __len__(self) -> int:
        return len(self.coordinates)

    def extend(self, distances: Distances, places: Places) -> NDArray[np.float32]:
        """Return the coordinates (Q, d) of vectors given by their nearest rows, (Q, reach) distances and places.

        Each is the weighted mean of those of its neighbours, divided by the eigenvalues: the Nyström formula (Bengio
        et al. 2004).
        """
        own = _floored(distances[:, -1])
        weights = _weights(distances, own[:, None], self.scales[places])
        means = np.einsum("qk,qkd->qd", weights, self.coordinates[places]) / weights.sum(axis=1, keepdims=True)
        extended: NDArray[np.float32] = (means / self.eigenvalues).astype(np.float32)
        return extended

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be kept."""
        return {
            "coordinates": self.coordinates,
            "eigenvalues": self.eigenvalues,
            "scales": self.scales,
            "reach": np.array(self.reach),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Spectral:
        """Take back what `to_arrays` returned."""
        names = ("coordinates", "eigenvalues", "scales")
        coordinates, eigenvalues, scales = (arrays[name].astype(np.float32) for name in names)
        return cls(coordinates, eigenvalues, scales, int(arrays["reach"]))


def _floored(scales: Distances) -> NDArray[np.float32]:
    """Keep scales (n,) away from 0, which rows with equals have."""
    return np.maximum(scales, max(1e-3 * float(scales.mean()), 1e-12)).astype(np.float32)


def _weights(distances: NDArray[Any], ones: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of links by their lengths and the scales at both ends."""
    squares = distances.astype(np.float64) ** 2 / (ones.astype(np.float64) * others)
    weights: NDArray[np.float64] = np.maximum(np.exp(-squares), WEAKEST)
    return weights


def _largest(matrix: Any, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues (count,), falling, and eigenvectors (N, count) of a symmetric sparse matrix."""
    from scipy.sparse.linalg import eigsh

    size = matrix.shape[0]
    if count >= size - 1 or size <= 64:  # Lanczos wants room
        values, vectors = np.linalg.eigh(matrix.toarray())
    else:
        start = np.random.default_rng(seed).standard_normal(size)
        values, vectors = eigsh(matrix, k=count, which="LA", v0=start)
    order = np.argsort(-values)[:count]
    values, vectors = values[order], vectors[:, order]
    # A direction's sign is arbitrary; its largest component is made positive, so that all machines agree.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
    return values, vectors
