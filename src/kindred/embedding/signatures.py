"""Visual words with binary signatures: Hamming embedding (Jégou, Douze and Schmid 2008).

A word is the cell of a codebook that a descriptor falls into; its signature encodes the position in the cell in 64
bits. Two descriptors match if they have the same word and their signatures differ in few bits; an inverted file needs
about ten bytes per descriptor to compare them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows
from kindred.embedding.assignment import nearest_several
from kindred.embedding.codebook import Codebook
from kindred.errors import UsageError
from kindred.store import VisualWords

if TYPE_CHECKING:
    from kindred._support.npz import ArrayMap

__all__ = ["MOST_WORDS", "SIGNATURE_BITS", "WordQuantizer"]

SIGNATURE_BITS = 64
BLOCK_ROWS = 128
"""Descriptors assigned at a time: 2 MB of scores for 4,096 words."""
MOST_WORDS = 1 << 16
"""Words are stored as uint16."""


class WordQuantizer:
    """Turns local descriptors into visual words with signatures.

    Each bit of a signature is the side of the mean of its word on which a descriptor is, along one of 64 fixed
    orthonormal directions. Raises UsageError for a codebook of more than 65,536 words, or of fewer than 64 components.
    """

    def __init__(self, codebook: Codebook) -> None:
        if len(codebook) > MOST_WORDS or codebook.dimension < SIGNATURE_BITS:
            raise UsageError(
                f"got a codebook of {len(codebook)} words and {codebook.dimension} components; expected at most "
                f"{MOST_WORDS:,} words of at least {SIGNATURE_BITS} components"
            )
        self.codebook = codebook

    @property
    def dimension(self) -> int:
        """D, the number of components of a prepared descriptor."""
        return self.codebook.dimension

    def quantize(self, descriptors: NDArray[np.uint8] | Vectors, *, multiple: int = 1) -> VisualWords:
        """Return the words and signatures of descriptors (n, D₀), the `multiple` nearest words of each in order.

        Several words per descriptor are for queries (multiple assignment). Raises UsageError for another dimension.
        """
        if not len(descriptors):
            return VisualWords(np.zeros(0, np.uint16), np.zeros(0, np.uint64))
        rows = self.codebook.prepare(as_rows(descriptors, "descriptors"))
        if rows.shape[1] != self.dimension:
            raise UsageError(f"descriptors: got shape {descriptors.shape}; expected (n, {self.dimension})")
        words = (
            self._nearest(rows) if multiple == 1 else nearest_several(rows, self.codebook.centres, multiple)
        ).ravel()
        projected = np.repeat(rows @ self._directions, multiple, axis=0)
        packed = np.packbits(projected > self._thresholds[words], axis=1, bitorder="little")
        return VisualWords(words.astype(np.uint16), packed.view("<u8")[:, 0].astype(np.uint64, copy=False))

    def _nearest(self, rows: Vectors) -> NDArray[np.int64]:
        """Return the nearest word of each row, (n,): as `nearest_words`, in two thirds of the time for few rows."""
        closeness = np.empty((BLOCK_ROWS, len(self.codebook)), np.float32)
        extended = np.concatenate((rows, np.ones((len(rows), 1), np.float32)), axis=1)
        words = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = extended[start : start + BLOCK_ROWS]
            found = np.matmul(block, self._columns, out=closeness[: len(block)])
            np.argmax(found, axis=1, out=words[start : start + len(block)])
        return words

    @cached_property
    def _columns(self) -> Vectors:
        """The means of the words and −½ of their squared lengths, (D + 1, K): x·c − ½|c|² is larger for nearer ones."""
        means = self.codebook.centres
        columns: Vectors = np.concatenate((means.T, -(means * means).sum(axis=1)[None] / 2)).astype(np.float32)
        return np.ascontiguousarray(columns)

    def to_arrays(self) -> dict[str, NDArray[np.floating]]:
        """Return the codebook as arrays, for `numpy.savez`."""
        return self.codebook.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> WordQuantizer:
        """Restore it from the arrays of a codebook; raises ModelError for missing or invalid arrays."""
        return cls(Codebook.from_arrays(arrays))

    @cached_property
    def _directions(self) -> Vectors:
        """The directions, (D, 64): random, orthonormal, the same for all codebooks."""
        # RandomState, whose numbers are the same in all versions of NumPy.
        drawn = np.random.RandomState(0).standard_normal((self.dimension, SIGNATURE_BITS))
        directions, triangle = np.linalg.qr(drawn)
        signed: Vectors = (directions * np.sign(np.diag(triangle))).astype(
            np.float32
        )  # signs differ between LAPACK implementations
        return signed

    @cached_property
    def _thresholds(self) -> Vectors:
        """The projection of each word's mean, (K, 64)."""
        thresholds: Vectors = self.codebook.centres @ self._directions
        return thresholds
