"""ArrayGallery: a matrix of vectors as a gallery, for evaluation, experiments and tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows, check_whole, l2_normalise, top_k
from kindred.blocks import best_of_blocks
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank.graph import gallery_digest

__all__ = ["ArrayGallery"]

BLOCK_ROWS = 16_384
"""One block of scores takes 16 MB, for any number of rows and queries."""


class ArrayGallery:
    """The rows of a matrix (N, D) as a gallery; an id is a row's position, 0 … N − 1.

    similarity: "cosine" (rows are copied and L2-normalised) or "dot" (rows are used as they are, for unit vectors).
    Raises UsageError for another similarity.
    """

    def __init__(self, rows: ArrayLike, *, similarity: str = "cosine") -> None:
        if similarity not in ("cosine", "dot"):
            raise UsageError(f"similarity: got {similarity!r}; expected 'cosine' or 'dot'")
        vectors = as_rows(rows, "rows")
        self._unit = similarity == "cosine"
        self._rows: Vectors = l2_normalise(vectors) if self._unit else vectors

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    @cached_property
    def version(self) -> str:
        """A digest of all rows, computed once."""
        return gallery_digest(self)

    def search(self, queries: ArrayLike, k: int) -> Ranking:
        """Return the best `k` for queries (Q, D), or all if there are fewer; equal scores are ordered by id."""
        check_whole(k=k)
        wanted = as_rows(queries, "queries")
        if wanted.shape[1] != self._rows.shape[1]:
            raise UsageError(f"queries: got shape {wanted.shape}; expected (Q, {self._rows.shape[1]})")
        k = min(k, len(self))
        ids = np.full((len(wanted), k), -1, dtype=np.int64)
        scores = np.full((len(wanted), k), -np.inf, dtype=np.float32)
        vectors = l2_normalise(wanted) if self._unit else wanted
        found, best = best_of_blocks(_dot, vectors, self._rows, max(1, k), places=None, size=BLOCK_ROWS)
        ids[:, : found.shape[1]], scores[:, : found.shape[1]] = found, best
        return Ranking(ids, scores)

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the rows (n, D) of `ids` (n,), in their order. Raises UsageError for an unknown id."""
        numbers = np.asarray(ids, dtype=np.int64)
        outside = numbers[(numbers < 0) | (numbers >= len(self._rows))]
        if outside.size:
            raise UsageError(f"ids: got {outside[0]}; expected 0 to {len(self._rows) - 1}")
        return self._rows[numbers]

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield all rows as (ids (n,), rows (n, D)), ids ascending throughout."""
        for start in range(0, len(self._rows), BLOCK_ROWS):
            rows = self._rows[start : start + BLOCK_ROWS]
            yield np.arange(start, start + len(rows)), rows


def _dot(queries: Vectors, rows: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    return top_k(queries @ rows.T, k)
