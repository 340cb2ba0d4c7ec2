"""Codebook: visual words, found by k-means among the local descriptors of many images.

Fit it on images *other* than those to be searched; otherwise evaluation results are too good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.npz import ArrayMap, restoring
from kindred.arrays import ArrayT, Vectors, as_rows, check_whole, l2_normalise, like
from kindred.embedding.assignment import nearest_words
from kindred.embedding.preparation import (
    fit_projection,
    pack_projection,
    prepare,
    sample,
    unpack_projection,
)
from kindred.embedding.stack import check_counts, count_cells
from kindred.errors import UsageError
from kindred.whitening import PCAWhitening

__all__ = ["LEAST_PER_WORD", "MOST_PER_WORD", "Codebook", "k_means"]

LEAST_PER_WORD = 4
"""Minimum of local descriptors per word. FAISS advises 39; below 4 a centre is hardly a mean."""
MOST_PER_WORD = 256
"""Maximum of local descriptors used per word (FAISS's limit): with more, centres hardly change and time grows."""
GAP_ROWS = 4096
_TRAINED = ("weights", "biases")


@dataclass(frozen=True, eq=False)
class Codebook:
    """K visual words, and the preparation of descriptors for them.

    centres: (K, D) float32, the means of the words.
    idf: (K,) float32, ln(N / n_k), where n_k of the N training images have the word; 1 if it was not fitted.
    gaps: (2,) float32, from which NetVLAD's weights are initialised: the mean difference between the largest and the
    second largest dot product with the unit centres, and that between the squared distances to the second nearest and
    the nearest centre.
    projection: a local PCA, or None.
    weights, biases: (K, D) and (K,) float32, those of a trained NetVLAD; both, or None.

    Raises UsageError if shapes do not match.
    """

    centres: NDArray[np.float32]
    idf: NDArray[np.float32] | None = None
    gaps: NDArray[np.float32] = field(default_factory=lambda: np.ones(2, np.float32))
    projection: PCAWhitening | None = None
    weights: NDArray[np.float32] | None = None
    biases: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        centres = as_rows(self.centres, "centres")
        if not len(centres):
            raise UsageError("centres: got none; expected at least one word (K, D)")
        idf = np.ones(len(centres), np.float32) if self.idf is None else np.asarray(self.idf, np.float32)
        gaps = np.asarray(self.gaps, np.float32)
        if idf.shape != (len(centres),) or gaps.shape != (2,):
            raise UsageError(f"got idf {idf.shape} and gaps {gaps.shape}; expected ({len(centres)},) and (2,)")
        if self.projection is not None and self.projection.dimension != centres.shape[1]:
            raise UsageError(
                f"projection: gives {self.projection.dimension} components; expected {centres.shape[1]}, as the centres"
            )
        for name, values in (("centres", centres), ("idf", idf), ("gaps", gaps)):
            object.__setattr__(self, name, values)
        self._check_trained()

    def _check_trained(self) -> None:
        """Check and convert the weights and biases of a trained NetVLAD, if there are any."""
        if self.weights is None and self.biases is None:
            return
        if self.weights is None or self.biases is None:
            raise UsageError("got only weights or only biases; expected both or none")
        weights = as_rows(self.weights, "weights")
        biases = as_rows(np.asarray(self.biases)[None], "biases")[0]
        if weights.shape != self.centres.shape or biases.shape != (len(self),):
            expected = f"{self.centres.shape} and ({len(self)},)"
            raise UsageError(f"got weights {weights.shape} and biases {biases.shape}; expected {expected}")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "biases", biases)

    def __len__(self) -> int:
        """Return K, the number of words."""
        return len(self.centres)

    @property
    def dimension(self) -> int:
        """D, the number of components of a centre and of a prepared descriptor."""
        return int(self.centres.shape[1])

    @classmethod
    def fit(
        cls,
        rows: Vectors,
        *,
        words: int,
        counts: ArrayLike | None = None,
        seed: int = 0,
        dimension: int | None = None,
        power: float = 0.0,
        iterations: int = 25,
    ) -> Codebook:
        """Fit `words` centres to local descriptors (M, D) by k-means (FAISS).

        Descriptors are L2-normalised. With a `dimension`, or a `power` above 0, a local PCA is fitted first: they are
        rotated, reduced to `dimension`, whitened with `power` (0 to 0.5) and L2-normalised again. `counts` (B,) is the
        number of rows of each training image, in order; idf is computed from it. Raises UsageError for fewer than 4
        rows per word; at most 256 per word are used, drawn with `seed`.
        """
        check_whole(words=words, iterations=iterations)
        given = as_rows(rows, "rows")
        used = sample(given, words=words, least=LEAST_PER_WORD, most=MOST_PER_WORD, seed=seed)
        projection = None if dimension is None and power == 0 else fit_projection(given, dimension, power)
        prepared = prepare(used, projection)
        centres = k_means(prepared, words=words, seed=seed, iterations=iterations)
        gaps = _gaps(prepared[:: max(1, len(prepared) // GAP_ROWS)], centres)
        book = cls(centres, None, gaps, projection)
        if counts is None:
            return book
        return cls(centres, _fit_idf(book, given, check_counts(counts, len(given))), gaps, projection)

    def prepare(self, rows: ArrayT) -> ArrayT:
        """Prepare local descriptors (M, D₀) of a network for `assign`: unit vectors (M, D)."""
        return prepare(rows, self.projection)

    def assign(self, rows: ArrayT) -> ArrayT:
        """Return the nearest word of prepared descriptors (M, D): (M,) int64."""
        centres: ArrayT = like(self.centres, rows)
        return nearest_words(self._checked(rows), centres)

    def to_arrays(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Return the codebook as arrays, for `numpy.savez`."""
        assert self.idf is not None
        trained = {name: values for name in _TRAINED if (values := getattr(self, name)) is not None}
        fitted = {"centres": self.centres, "idf": self.idf, "gaps": self.gaps}
        return {**fitted, **trained, **pack_projection(self.projection)}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Codebook:
        """Restore a codebook from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring("codebook", arrays, "centres", "idf", "gaps") as found:
            centres, idf, gaps = (each.astype(np.float32) for each in found)
            trained = {name: arrays[name] for name in _TRAINED if name in arrays}
            return cls(centres, idf, gaps, unpack_projection(arrays), **trained)

    def _checked(self, rows: ArrayT) -> ArrayT:
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise UsageError(
                f"rows: got shape {tuple(rows.shape)}; expected prepared descriptors (M, {self.dimension})"
            )
        return rows


def k_means(rows: Vectors, *, words: int, seed: int, iterations: int = 25) -> Vectors:
    """Return the centres (`words`, D) that k-means finds among rows (M, D), M ≥ `words`."""
    import faiss

    # Kindred checks its own limits; with its defaults FAISS would print warnings to the standard output.
    means = faiss.Kmeans(
        rows.shape[1],
        words,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=max(MOST_PER_WORD, -(-len(rows) // words)),
    )
    means.train(np.ascontiguousarray(rows, dtype=np.float32))
    return np.array(means.centroids, dtype=np.float32)


def _fit_idf(book: Codebook, rows: Vectors, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return ln(N / n_k) for N images, n_k of them with word k; n_k is at least 1."""
    seen = np.zeros(len(book))
    ends = np.cumsum(counts)
    for first in range(0, len(counts), 256):
        some = counts[first : first + 256]
        block = rows[ends[first] - counts[first] : ends[first + len(some) - 1]]
        seen += (count_cells(book.assign(book.prepare(block)), some, len(book)) > 0).sum(axis=0)
    return np.log(max(1, len(counts)) / np.maximum(seen, 1)).astype(np.float32)


def _gaps(rows: Vectors, centres: Vectors) -> NDArray[np.float32]:
    """Return the mean gaps between the nearest and the second nearest word of some rows; 1 for a single word."""
    if len(centres) < 2:
        return np.ones(2, np.float32)
    products = np.sort(rows @ l2_normalise(centres).T, axis=1)
    squares = np.sort((centres * centres).sum(axis=1) - 2 * rows @ centres.T, axis=1)
    gaps = np.array([(products[:, -1] - products[:, -2]).mean(), (squares[:, 1] - squares[:, 0]).mean()])
    return np.where(gaps > 0, gaps, 1).astype(np.float32)
