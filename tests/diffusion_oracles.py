"""Diffusion as the papers define it, with dense matrices, and a gallery whose ids are not positions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery
from kindred.rerank.graph import gallery_digest

Double = NDArray[np.float64]


class SparseIds:
    """The rows of a matrix under the ids 10, 13, 16, … in blocks of 7."""

    def __init__(self, rows: Vectors) -> None:
        self.inner = ArrayGallery(rows, similarity="dot")
        self.ids = 10 + 3 * np.arange(len(rows))
        self.searches = 0

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def version(self) -> str:
        return gallery_digest(self)

    def search(self, queries: Vectors, k: int) -> Ranking:
        self.searches += 1
        found = self.inner.search(queries, k)
        return Ranking(np.where(found.ids < 0, -1, self.ids[found.ids]), found.scores)

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        return self.inner.fetch((ids - 10) // 3)

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        for start in range(0, len(self), 7):
            ids = self.ids[start : start + 7]
            yield ids, self.fetch(ids)


def affinities(rows: Vectors, k: int, gamma: float) -> Double:
    """A: max(cosine, 0)^gamma between images that are each among the other's k nearest, of which they are one."""
    count = len(rows)
    cosines = rows.astype(np.float64) @ rows.T.astype(np.float64)
    near = [set(sorted(range(count), key=lambda j: (j != i, -cosines[i, j]))[:k]) for i in range(count)]
    matrix = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j and j in near[i] and i in near[j]:
                matrix[i, j] = max(cosines[i, j], 0) ** gamma
    return matrix


def normalised(matrix: Double, degrees: Double | None = None) -> Double:
    """S = D^−1/2 A D^−1/2; a row of zeros stays one."""
    sums = matrix.sum(axis=1) if degrees is None else degrees
    roots = np.array([1 / np.sqrt(each) if each > 0 else 0.0 for each in sums])
    scaled: Double = roots[:, None] * matrix * roots
    return scaled


def start(query: NDArray[np.float32], rows: Vectors, best: NDArray[np.int64], gamma: float) -> Double:
    """y: the similarities of the best results, 0 elsewhere."""
    y = np.zeros(len(rows))
    for place in best:
        y[place] = max(float(query @ rows[place]), 0) ** gamma
    return y


def solved(matrix: Double, y: Double, alpha: float) -> Double:
    """f of (I − alpha·S) f = y."""
    return np.asarray(np.linalg.solve(np.eye(len(y)) - alpha * matrix, y), dtype=np.float64)
