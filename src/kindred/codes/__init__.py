"""Compact codes: vectors in a few bytes each, and the search among them.

Fit a code on vectors of images *other* than those to be searched. `CODES` is the table of them all; `from_arrays`
restores a code of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors
from kindred.codes.base import Bytes, kind_of
from kindred.codes.binary import BinaryCode, IterativeQuantisation, RandomHyperplanes, SignCode, hamming_search
from kindred.codes.product import ProductQuantiser
from kindred.codes.rabitq import RaBitQuantiser
from kindred.errors import ModelError
from kindred.hints import check_known

__all__ = [
    "CODES",
    "BinaryCode",
    "Bytes",
    "Code",
    "CodeKind",
    "IterativeQuantisation",
    "ProductQuantiser",
    "RaBitQuantiser",
    "RandomHyperplanes",
    "SignCode",
    "from_arrays",
    "hamming_search",
]


class Code(Protocol):
    """The interface of every fitted code."""

    @property
    def dimension(self) -> int:
        """The number of components of a vector that `encode` takes."""
        ...

    @property
    def bytes_per_vector(self) -> int:
        """The size of a code in bytes."""
        ...

    @classmethod
    def fit(cls, rows: Vectors, *, bits: int | None = None, seed: int = 0) -> Self:
        """Fit a code of `bits` bits to vectors (N, D) of other images; None for the usual number of its kind."""
        ...

    def encode(self, rows: Vectors) -> Bytes:
        """Return the codes (N, `bytes_per_vector`) uint8 of vectors (N, D)."""
        ...

    def search(self, queries: Vectors, codes: Bytes, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions and scores (Q, min(k, N)) of the codes nearest to vectors (Q, D), best first."""
        ...

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the code as arrays, for `numpy.savez`."""
        ...

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Self:
        """Restore a code from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        ...


@dataclass(frozen=True)
class CodeKind:
    """One entry of CODES: the class, what it does in a few words, author and year."""

    fitted: type[Code]
    summary: str
    source: str


CODES: dict[str, CodeKind] = {
    "pq": CodeKind(ProductQuantiser, "nearest centroid of each part", "Jégou, Douze and Schmid 2011"),
    "rabitq": CodeKind(RaBitQuantiser, "components of a random rotation, in 1 to 8 bits each", "Gao and Long 2024"),
    "itq": CodeKind(IterativeQuantisation, "signs of rotated principal components", "Gong and Lazebnik 2011"),
    "lsh": CodeKind(RandomHyperplanes, "sides of random planes", "Charikar 2002"),
    "sign": CodeKind(SignCode, "signs of the components", "Wang, Kumar and Chang 2010"),
}


def from_arrays(arrays: ArrayMap) -> Code:
    """Restore a code of any kind from the arrays of `to_arrays`; raises ModelError for invalid arrays."""
    kind = kind_of(arrays)
    check_known("code", kind, CODES, error=ModelError)
    return CODES[kind].fitted.from_arrays(arrays)
