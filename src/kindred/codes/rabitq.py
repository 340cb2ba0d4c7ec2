"""RaBitQ: the signs of randomly rotated components, refined to 2 to 8 bits a component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, as_rows, check_whole
from kindred.codes.base import Bytes, checked_bits, checked_codes, checked_rows, no_results, restoring_code
from kindred.errors import UsageError

if TYPE_CHECKING:
    import faiss

__all__ = ["RaBitQuantiser"]

MOST_BITS = 8
"""Bits per component of the finest code."""

QUERY_BITS = 8
"""Bits per component to which FAISS rounds a query; as exact as no rounding, and 20 times as fast."""


@dataclass(frozen=True, eq=False)
class RaBitQuantiser:
    """Each component of R (x − m) is rounded to 1 to 8 bits, on a grid scaled for each vector (Gao and Long 2024).

    mean: m, (D,) float32. rotation: R, (D, D) float32, random and orthogonal. component_bits: b, 1 to 8; more than one
    are those of Gao et al. 2025. A code holds D signs and D (b − 1) more bits, and numbers by which the dot product
    with any query is estimated without bias: 8 bytes for b = 1, otherwise 20.

    Raises UsageError if shapes do not match, or for other bits.
    """

    KIND: ClassVar[str] = "rabitq"

    mean: NDArray[np.float32]
    rotation: NDArray[np.float32]
    component_bits: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", as_rows(self.rotation, "rotation"))
        width = len(self.rotation)
        if self.rotation.shape != (width, width) or self.mean.shape != (width,):
            shapes = f"{self.mean.shape} and rotation {self.rotation.shape}"
            raise UsageError(f"mean: got shape {shapes}; expected (D,) and (D, D)")
        object.__setattr__(self, "mean", as_rows(self.mean[None], "mean")[0])
        check_whole(component_bits=self.component_bits)
        if self.component_bits > MOST_BITS:
            raise UsageError(f"component_bits: got {self.component_bits}; expected 1 to {MOST_BITS}")

    @property
    def dimension(self) -> int:
        """The number of components of a vector that `encode` takes."""
        return len(self.mean)

    @property
    def bytes_per_vector(self) -> int:
        """The size of a code in bytes."""
        signs, more = -(-self.dimension // 8), -(-self.dimension * (self.component_bits - 1) // 8)
        return signs + more + (20 if more else 8)

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0) -> Self:
        """Fit the mean of vectors (N, D) of other images and draw the rotation.

        bits: of all components together, 1 to 8 times D; by default D. Raises UsageError for no rows or other bits.
        """
        vectors = as_rows(rows, "rows")
        width = vectors.shape[1]
        wanted = checked_bits(width if bits is None else bits)
        if not len(vectors):
            raise UsageError("got no rows to fit a code to; expected vectors of some other images")
        if wanted % width or wanted > MOST_BITS * width:
            nearest = width * min(max(round(wanted / width), 1), MOST_BITS)
            raise UsageError(
                f"bits: got {wanted}; expected 1 to {MOST_BITS} times the {width} components, such as {nearest}"
            )
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        rotation, triangle = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
        # Without these signs the rotation would not be uniformly distributed (Mezzadri 2007).
        rotation *= np.where(np.diagonal(triangle) < 0, -1, 1)
        return cls(mean, rotation.T.astype(np.float32), wanted // width)

    def encode(self, rows: Vectors) -> Bytes:
        """Return the codes (N, `bytes_per_vector`) uint8 of vectors (N, D).

        In this order: the signs of R (x − m), a bit each from the lowest of a byte; two numbers of float32 (three for
        more than one bit) that suffice for an estimate by signs; for more than one bit the lower b − 1 bits of each
        component and two more numbers. (The layout is that of FAISS.)
        """
        codes: Bytes = self._index().sa_encode(self._rotated(checked_rows(rows, self.dimension)))
        return codes

    def search(self, queries: Vectors, codes: Bytes, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions and scores (Q, min(k, N)) of the codes nearest to vectors (Q, D), best first.

        The score is an estimate of the dot product of the vectors. With more than one bit, codes that by their signs
        alone cannot be among the best `k`, but for a small probability, are not compared further.
        """
        check_whole(k=k)
        vectors, known = checked_rows(queries, self.dimension), checked_codes(codes, self.bytes_per_vector)
        if not len(known) or not len(vectors):
            return no_results(len(vectors))
        index = self._index()
        index.add_sa_codes(known)
        scores, places = index.search(self._rotated(vectors), min(k, len(known)))
        return places, scores

    def _rotated(self, rows: Vectors) -> Vectors:
        turned: Vectors = np.ascontiguousarray(rows @ self.rotation.T)
        return turned

    def _index(self) -> faiss.IndexRaBitQ:
        import faiss

        index = faiss.IndexRaBitQ(self.dimension, faiss.METRIC_INNER_PRODUCT, self.component_bits)
        faiss.copy_array_to_vector(self._rotated(self.mean[None])[0], index.center)
        index.qb = QUERY_BITS
        index.is_trained = True
        return index

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the code as arrays, for `numpy.savez`."""
        bits = np.array(self.component_bits, np.int64)
        return {"kind": np.array(self.KIND), "mean": self.mean, "rotation": self.rotation, "component_bits": bits}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Self:
        """Restore a code from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        names = ("mean", "rotation", "component_bits")
        with restoring_code(cls.KIND, arrays, *names) as (mean, rotation, bits):
            if bits.shape or bits.dtype.kind not in "iu":
                raise UsageError(f"component_bits: got {bits.dtype} {bits.shape}; expected one whole number")
            return cls(mean.astype(np.float32), rotation.astype(np.float32), int(bits))
