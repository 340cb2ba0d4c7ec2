"""Binary codes: each bit is the side of a hyperplane on which a vector lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, as_rows, check_whole
from kindred.codes.base import USUAL_BITS, Bytes, checked_bits, checked_codes, checked_rows, no_results, restoring_code
from kindred.errors import UsageError

__all__ = ["BinaryCode", "IterativeQuantisation", "RandomHyperplanes", "SignCode", "hamming_search"]

MOST_ROWS = 2**15
"""Rows that iterative quantisation is fitted to; more take longer and hardly change its rotation."""


@dataclass(frozen=True, eq=False)
class BinaryCode:
    """A fitted b = [W (x − m) > 0]; each kind fits W in its own way.

    mean: m, (D,) float32.
    planes: W, (bits, D) float32.

    Raises UsageError if shapes do not match.
    """

    KIND: ClassVar[str] = ""

    mean: NDArray[np.float32]
    planes: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", as_rows(self.planes, "planes"))
        if self.mean.shape != self.planes.shape[1:]:
            raise UsageError(f"mean: got shape {self.mean.shape}; expected {self.planes.shape[1:]}")
        object.__setattr__(self, "mean", as_rows(self.mean[None], "mean")[0])

    @property
    def dimension(self) -> int:
        """The number of components of a vector that `encode` takes."""
        return len(self.mean)

    @property
    def bits(self) -> int:
        """The number of bits of a code."""
        return len(self.planes)

    @property
    def bytes_per_vector(self) -> int:
        """The size of a code in bytes; its bits are padded with zeros to whole bytes."""
        return -(-self.bits // 8)

    def encode(self, rows: Vectors) -> Bytes:
        """Return the codes (N, `bytes_per_vector`) uint8 of vectors (N, D)."""
        vectors = checked_rows(rows, self.dimension)
        return np.packbits((vectors - self.mean) @ self.planes.T > 0, axis=1)

    def search(self, queries: Vectors, codes: Bytes, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions and scores (Q, min(k, N)) of the codes nearest to vectors (Q, D), best first.

        The score is 1 − 2 h / bits, in [−1, 1], where h is the Hamming distance to the query's code. Equal scores, of
        which there are many, are ordered by position.
        """
        return hamming_search(self.encode(queries), codes, k, bits=self.bits)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the code as arrays, for `numpy.savez`."""
        return {"kind": np.array(self.KIND), "mean": self.mean, "planes": self.planes}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Self:
        """Restore a code from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring_code(cls.KIND, arrays, "mean", "planes") as (mean, planes):
            return cls(mean.astype(np.float32), planes.astype(np.float32))


@dataclass(frozen=True, eq=False)
class SignCode(BinaryCode):
    """The sign of each component after subtracting the mean; for whitened vectors, of equal variances."""

    KIND: ClassVar[str] = "sign"

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0) -> Self:  # noqa: ARG003 - as all kinds
        """Fit the mean of vectors (N, D); `bits` is the number of leading components used, by default D.

        Raises UsageError for no rows or more bits than D.
        """
        _, mean = _centred(rows)
        count = checked_bits(len(mean) if bits is None else bits, len(mean))
        return cls(mean, np.eye(count, len(mean), dtype=np.float32))


@dataclass(frozen=True, eq=False)
class RandomHyperplanes(BinaryCode):
    """Random hyperplanes through the mean (LSH; Charikar 2002): the share of different bits estimates the angle."""

    KIND: ClassVar[str] = "lsh"

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0) -> Self:
        """Fit the mean of vectors (N, D) and draw `bits` hyperplanes, 256 by default, possibly more than D.

        Raises UsageError for no rows.
        """
        _, mean = _centred(rows)
        count = checked_bits(USUAL_BITS if bits is None else bits)
        drawn = np.random.default_rng(seed).standard_normal((count, len(mean)), np.float32)
        return cls(mean, drawn)


@dataclass(frozen=True, eq=False)
class IterativeQuantisation(BinaryCode):
    """Signs of principal components, rotated to minimise the quantisation error (ITQ; Gong and Lazebnik 2011)."""

    KIND: ClassVar[str] = "itq"

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0, iterations: int = 50) -> Self:
        """Fit to vectors (N, D), at most 32,768 of them; `seed` draws them and the initial rotation.

        `bits` is 256 by default. It alternates between the codes, which are the signs of the rotated components, and
        the rotation that brings the components nearest to the codes (orthogonal Procrustes). Raises UsageError for
        more bits than D or fewer rows than bits + 1.
        """
        check_whole(iterations=iterations)
        vectors = as_rows(rows, "rows")
        random = np.random.default_rng(seed)
        if len(vectors) > MOST_ROWS:
            vectors = vectors[np.sort(random.choice(len(vectors), MOST_ROWS, replace=False))]
        centred, mean = _centred(vectors)
        bits = checked_bits(USUAL_BITS if bits is None else bits, len(mean))
        if len(centred) <= bits:
            raise UsageError(f"got {len(centred)} rows for {bits} bits; expected at least {bits + 1}: add images")
        _, directions = np.linalg.eigh(centred.T @ centred)  # ascending eigenvalues, directions are columns
        principal = directions[:, ::-1][:, :bits]
        components = centred @ principal
        rotation, _ = np.linalg.qr(random.standard_normal((bits, bits)))
        for _ in range(iterations):
            signs = np.where(components @ rotation.astype(np.float32) > 0, np.float32(1), np.float32(-1))
            left, _, right = np.linalg.svd(components.T @ signs)
            rotation = left @ right
        return cls(mean, (principal @ rotation).T.astype(np.float32))


def hamming_search(queries: Bytes, codes: Bytes, k: int, *, bits: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions and scores (Q, min(k, N)) of the codes (N, n) nearest to those of queries (Q, n).

    The score is 1 − 2 h / `bits`, where h is the Hamming distance; equal scores are ordered by position.
    """
    import faiss

    check_whole(k=k, bits=bits)
    width = queries.shape[-1]
    wanted, known = checked_codes(queries, width), checked_codes(codes, width)
    if not len(wanted) or not len(known):
        return no_results(len(wanted))
    index = faiss.IndexBinaryFlat(8 * width)
    index.add(known)
    distances, places = index.search(wanted, min(k, len(known)))
    return places, (1 - distances * (2 / bits)).astype(np.float32)


def _centred(rows: Vectors) -> tuple[Vectors, NDArray[np.float32]]:
    """Return the vectors minus their mean, and the mean (D,)."""
    vectors = as_rows(rows, "rows")
    if not len(vectors):
        raise UsageError("got no rows to fit a code to; expected vectors of some other images")
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return vectors - mean, mean
