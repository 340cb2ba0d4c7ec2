"""Product quantisation: a vector as the nearest centroids of its subvectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, as_rows, check_whole
from kindred.codes.base import USUAL_BITS, Bytes, checked_bits, checked_codes, checked_rows, no_results, restoring_code
from kindred.errors import UsageError

if TYPE_CHECKING:
    import faiss

__all__ = ["ProductQuantiser"]

CENTROIDS = 256
"""Centroids per subvector: their number is one byte."""


@dataclass(frozen=True, eq=False)
class ProductQuantiser:
    """Each of the M subvectors of a vector is replaced by the nearest of 256 centroids (Jégou, Douze and Schmid 2011).

    centroids: (M, 256, D / M) float32.

    Raises UsageError for another shape.
    """

    KIND: ClassVar[str] = "pq"

    centroids: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.centroids.ndim != 3 or self.centroids.shape[1] != CENTROIDS:
            raise UsageError(f"centroids: got shape {self.centroids.shape}; expected (M, {CENTROIDS}, D / M)")
        flat = as_rows(self.centroids.reshape(-1, self.centroids.shape[2]), "centroids")
        object.__setattr__(self, "centroids", flat.reshape(self.centroids.shape))

    @property
    def dimension(self) -> int:
        """The number of components of a vector that `encode` takes."""
        return len(self.centroids) * int(self.centroids.shape[2])

    @property
    def bytes_per_vector(self) -> int:
        """The size of a code in bytes."""
        return len(self.centroids)

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0) -> Self:
        """Fit the centroids of `bits` / 8 subvectors, 256 / 8 by default, by k-means on vectors (N, D) of other images.

        Raises UsageError for fewer than 256 rows, and if D is not divisible by the number of subvectors.
        """
        import faiss

        vectors = as_rows(rows, "rows")
        bits = checked_bits(USUAL_BITS if bits is None else bits)
        count, dimension = vectors.shape
        parts = bits // 8
        if bits % 8 or dimension % parts:
            near = [8 * m for m in range(1, dimension + 1) if dimension % m == 0]
            nearest = min(near, key=lambda known: abs(known - bits))
            raise UsageError(
                f"bits: got {bits}; expected 8 times a divisor of the {dimension} components, such as {nearest}"
            )
        if count < CENTROIDS:
            raise UsageError(f"got {count} rows; expected at least {CENTROIDS}, the number of centroids: add images")
        quantiser = faiss.ProductQuantizer(dimension, parts, 8)
        quantiser.cp.seed = seed
        quantiser.cp.min_points_per_centroid = 1  # FAISS would print a warning
        quantiser.train(vectors)
        centroids = faiss.vector_to_array(quantiser.centroids)
        return cls(centroids.reshape(parts, CENTROIDS, dimension // parts))

    def encode(self, rows: Vectors) -> Bytes:
        """Return the codes (N, `bytes_per_vector`) uint8 of vectors (N, D)."""
        vectors = checked_rows(rows, self.dimension)
        codes: Bytes = self._index().sa_encode(vectors)
        return codes

    def search(self, queries: Vectors, codes: Bytes, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions and scores (Q, min(k, N)) of the codes nearest to vectors (Q, D), best first.

        The score is the dot product of the query, not quantised, with the vector that the code represents, computed
        from a table of the query's products with all centroids (asymmetric distance computation).
        """
        check_whole(k=k)
        vectors, known = checked_rows(queries, self.dimension), checked_codes(codes, self.bytes_per_vector)
        if not len(known) or not len(vectors):
            return no_results(len(vectors))
        index = self._index()
        index.add_sa_codes(known)
        scores, places = index.search(vectors, min(k, len(known)))
        return places, scores

    def _index(self) -> faiss.IndexPQ:
        import faiss

        parts, _, width = self.centroids.shape
        index = faiss.IndexPQ(parts * width, parts, 8, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(self.centroids.reshape(-1), index.pq.centroids)
        index.is_trained = True
        return index

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the code as arrays, for `numpy.savez`."""
        return {"kind": np.array(self.KIND), "centroids": self.centroids}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Self:
        """Restore a code from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring_code(cls.KIND, arrays, "centroids") as (centroids,):
            return cls(centroids.astype(np.float32))
