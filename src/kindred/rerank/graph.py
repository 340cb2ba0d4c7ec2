"""The graph of mutual nearest neighbours of a gallery, for diffusion.

Two images are connected, with weight max(cosine, 0)^gamma, if each is among the other's k nearest; there are no
loops. Neighbours are searched for a block of images at a time, and only the edges are stored: about k / 2 per image,
so that the graph of a million images takes some 200 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_positive, check_whole
from kindred.rerank.context import Context, Gallery
from kindred.rerank.neighbours import Progress, find_neighbours
from kindred.rerank.sparse import SparseRows, row_sums

__all__ = ["NeighbourGraph", "NormalisedGraph", "conjugate_gradient", "gallery_digest"]

Places = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalisedGraph:
    """S = D^−1/2 A D^−1/2 of a graph or a subgraph, (n, n) and symmetric, as a sparse matrix.

    rows: (r,) the rows that have entries. starts: (r,) the start of each in columns and values, both (E,).
    """

    size: int
    rows: Places
    starts: Places
    columns: Places
    values: Values

    def times(self, x: Values) -> Values:
        """Return S x for x (n,)."""
        product = np.zeros(self.size)
        if self.rows.size:  # reduceat would give a row without entries the value of the next: such rows are left out
            product[self.rows] = np.add.reduceat(self.values * x.take(self.columns, mode="clip"), self.starts)
        return product


@dataclass(frozen=True, eq=False)
class NeighbourGraph(SparseRows):
    """The affinities A of N images, which are its nodes: symmetric, and zero on the diagonal."""

    KIND: ClassVar[str] = "graph"

    @classmethod
    def build(
        cls,
        gallery: Gallery,
        *,
        k: int = 50,
        gamma: float = 3.0,
        approximate: bool | None = None,
        progress: Progress | None = None,
    ) -> NeighbourGraph:
        """Connect the images of a gallery of unit vectors that are mutual `k` nearest neighbours.

        As in the paper, an image is the first of its own `k`. approximate: as in `find_neighbours`. progress: called
        with the images done and their number. Source: Iscen et al. 2017.
        """
        check_whole(k=k)
        check_positive(gamma=gamma)
        ids, nearest, similarities = find_neighbours(gallery, k - 1, approximate=approximate, progress=progress)
        first, second, cosines = _mutual_pairs(nearest, similarities)
        # Clipped before the power: an even gamma would make a negative cosine a strong edge.
        weights = np.maximum(cosines, 0) ** np.float32(gamma)
        joined = weights > 0
        first, second, weights = first[joined], second[joined], weights[joined]
        rows, columns = np.concatenate((first, second)), np.concatenate((second, first))
        order = np.argsort(rows * max(1, len(ids)) + columns)
        indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(ids)))))
        both = np.concatenate((weights, weights))[order]
        return cls(ids, indptr, columns[order].astype(np.int32), both)

    @classmethod
    def of(cls, context: Context, *, k: int, gamma: float) -> NeighbourGraph:
        """Return the graph of the gallery that was searched, from the cache if there is one."""
        gallery, progress = context.gallery, context.progress
        # Bounded: a k above the number of images gives the same graph, but would be cached under another key.
        k = min(k, max(1, len(gallery)))
        return context.computed(
            cls, f"k={k} gamma={gamma!r}", lambda: cls.build(gallery, k=k, gamma=gamma, progress=progress)
        )

    def degrees(self) -> Values:
        """Return the sums (N,) of the rows of A."""
        return row_sums(self.indptr[:-1], np.diff(self.indptr), self.weights.astype(np.float64))

    def normalised(self, nodes: Places | None = None, *, degrees: Values | None = None) -> NormalisedGraph:
        """Return S of the whole graph, or of the subgraph of `nodes` (n,), which must be ascending.

        The subgraph is normalised by its own degrees, or by the `degrees` (N,) of the whole graph if they are given.
        A node without edges has a row of zeros.
        """
        if nodes is None:
            counts, starts = np.diff(self.indptr), self.indptr[:-1]
            columns, values = self.indices.astype(np.int64), self.weights.astype(np.float64)
        else:
            counts, columns, values = self._part(nodes)
            starts = np.cumsum(counts) - counts
        sums = row_sums(starts, counts, values) if degrees is None else degrees if nodes is None else degrees[nodes]
        roots = np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1.0)), 0.0)
        scaled = values * np.repeat(roots, counts) * roots[columns]
        rows = np.flatnonzero(counts)
        return NormalisedGraph(len(counts), rows, starts[rows], columns, scaled)

    def _part(self, nodes: Places) -> tuple[Places, Places, Values]:
        """Return the entries between `nodes`: their number in each row, their columns in `nodes`, their values."""
        entries, counts = self.entries(nodes)
        local = np.full(len(self), -1, dtype=np.int64)
        local[nodes] = np.arange(len(nodes))
        columns = local.take(self.indices.take(entries))
        inside = np.flatnonzero(columns >= 0)
        kept = np.diff(np.searchsorted(inside, np.cumsum(counts)), prepend=0)
        return kept, columns.take(inside), self.weights.take(entries.take(inside)).astype(np.float64)


def gallery_digest(gallery: Gallery) -> str:
    """Return a digest of all ids and vectors of a gallery, independent of its blocks; it reads 1 GB/s."""
    ids_hash, rows_hash, dimension = hashlib.sha256(), hashlib.sha256(), 0
    for ids, rows in gallery.blocks():
        dimension = rows.shape[1]
        ids_hash.update(np.ascontiguousarray(ids, dtype="<i8").data)
        rows_hash.update(np.ascontiguousarray(rows, dtype="<f4").data)
    return hashlib.sha256(ids_hash.digest() + rows_hash.digest() + str(dimension).encode()).hexdigest()[:16]


def conjugate_gradient(apply: Callable[[Values], Values], y: Values, *, iterations: int, tolerance: float) -> Values:
    """Solve M f = y for f (n,), `apply` being x → M x of a symmetric positive definite M.

    It starts from 0 and stops after `iterations`, or when the norm of the residual is at most `tolerance`·‖y‖.
    """
    f = np.zeros_like(y)
    residual = y.copy()
    direction = y.copy()
    squared = float(residual @ residual)
    enough = tolerance * tolerance * squared
    for _ in range(iterations):
        if squared <= enough:
            break
        image = apply(direction)
        step = squared / float(direction @ image)
        f += step * direction
        residual -= step * image
        before, squared = squared, float(residual @ residual)
        direction = residual + (squared / before) * direction
    return f


def _mutual_pairs(
    nearest: NDArray[np.int32], cosines: NDArray[np.float32]
) -> tuple[Places, Places, NDArray[np.float32]]:
    """Return the pairs i < j of mutual neighbours and their cosines, from the nearest of each (N, k), −1 for none.

    A mutual pair is found twice. Its two cosines may differ by rounding, and the graph must be symmetric, so their
    mean is used.
    """
    count = max(1, len(nearest))
    sources, ranks = np.nonzero(nearest >= 0)
    targets = nearest[sources, ranks].astype(np.int64)
    pairs = np.minimum(sources, targets) * count + np.maximum(sources, targets)
    order = np.argsort(pairs, kind="stable")
    pairs = pairs[order]
    twice = np.flatnonzero(pairs[1:] == pairs[:-1])
    found = cosines[sources, ranks][order]
    means = ((found[twice] + found[twice + 1]) / 2).astype(np.float32)
    return pairs[twice] // count, pairs[twice] % count, means
