"""Inverted file: lists for each visual word the images that contain it; a search reads the lists of its words only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows, top_k
from kindred.errors import UsageError
from kindred.index.id_map import checked_queries, checked_rows, padded_ranking
from kindred.index.segments import SegmentedIndex
from kindred.ranking import Ranking

__all__ = ["InvertedFile"]


@dataclass(frozen=True, eq=False)
class _Postings:
    """The non-zero components of N unit rows, sorted by word and then by row.

    starts: (K + 1,) int64, the offset of each word's components. places: int32, the row number of each component.
    values: float32.
    """

    count: int
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(
        cls, count: int, size: int, words: NDArray[np.int64], places: NDArray[np.int32], values: Vectors
    ) -> _Postings:
        """Sort components, whose rows ascend, by their words."""
        order = np.argsort(words, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(words, minlength=size))))
        return cls(count, starts, places[order], values[order])

    @property
    def words(self) -> NDArray[np.int64]:
        """The word of each component."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def joined(self, other: _Postings) -> _Postings:
        """Return the components of both, with the rows of `other` after these."""
        return _Postings.of(
            self.count + other.count,
            len(self.starts) - 1,
            np.concatenate((self.words, other.words)),
            np.concatenate((self.places, other.places + np.int32(self.count))),
            np.concatenate((self.values, other.values)),
        )

    def alive(self, images: NDArray[np.bool_]) -> _Postings:
        """Return the components of the rows in the mask (N,), renumbered."""
        kept = images[self.places]
        numbers = (np.cumsum(images) - 1).astype(np.int32)
        words = self.words[kept]
        return _Postings.of(
            int(images.sum()), len(self.starts) - 1, words, numbers[self.places[kept]], self.values[kept]
        )

    def scores(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dot product of `query` (K,) with every row: (N,)."""
        spans = [(word, self.starts[word], self.starts[word + 1]) for word in np.flatnonzero(query)]
        places = [self.places[low:high] for _, low, high in spans]
        products = [self.values[low:high] * query[word] for word, low, high in spans]
        if not places:
            return np.zeros(self.count)
        found = np.bincount(np.concatenate(places), np.concatenate(products), minlength=self.count)
        return found.astype(np.float64, copy=False)


class InvertedFile(SegmentedIndex[_Postings]):
    """Inverted lists of sparse non-negative rows (n, K), such as bags of visual words, compared by cosine.

    Scores equal those of exact search; memory is 8 bytes per non-zero component. A zero row has the score 0. Equal
    scores are ordered by id, lower first. One thread at a time may change the index; searches may run at the same time.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    @property
    def nbytes(self) -> int:
        """Size of the components in bytes, without ids."""
        return sum(each.places.nbytes + each.values.nbytes for each in self._segments.state.segments)

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, K) under ids (n,), in ascending order, all above the ids before."""
        numbers, dense = checked_rows(ids, rows, self.dimension)
        places, words = np.nonzero(dense)
        indptr = np.searchsorted(places, np.arange(len(dense) + 1))
        self.add_sparse(numbers, indptr, words, dense[places, words])

    def add_sparse(self, ids: ArrayLike, indptr: ArrayLike, words: ArrayLike, values: ArrayLike) -> None:
        """Add sparse rows in the CSR layout of SciPy.

        `indptr` (n + 1,) holds the offset of each row's components, `words` (m,) and `values` (m,) the components, no
        word twice in a row. Raises UsageError for negative values, or arrays of inconsistent lengths.
        """
        numbers = np.asarray(ids, np.int64)
        bounds, columns = np.asarray(indptr, np.int64), np.asarray(words, np.int64)
        components = as_rows(np.asarray(values)[None], "values")[0] if len(columns) else np.empty(0, np.float32)
        self._check(numbers, bounds, columns, components)
        if not len(numbers):
            return
        places = np.repeat(np.arange(len(numbers), dtype=np.int32), np.diff(bounds))
        lengths = np.sqrt(np.bincount(places, components.astype(np.float64) ** 2, minlength=len(numbers)))
        lengths = np.where(lengths > 0, lengths, 1)
        unit = (components / lengths[places]).astype(np.float32)
        self._segments.add(numbers, _Postings.of(len(numbers), self.dimension, columns, places, unit))

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` rows for queries (Q, K); `allowed` restricts the search to those ids (n,)."""
        wanted = self._unit_queries(queries, k)
        live, segments, _ = self._segments.state
        places = np.flatnonzero(live.mask(allowed))
        ids = np.empty((len(wanted), min(k, len(places))), np.int64)
        scores = np.empty(ids.shape, np.float32)
        for q, query in enumerate(wanted):
            every = _scores(query, segments)
            order, best = top_k(every[None, places], k)
            ids[q], scores[q] = live.ids[places[order[0]]], best[0]
        return padded_ranking((ids, scores), min(k, live.count))

    def scores(self, queries: ArrayLike) -> Vectors:
        """Return the scores (Q, N) of all rows, in order of id."""
        wanted = self._unit_queries(queries, 1)
        live, segments, _ = self._segments.state
        scores = np.empty((len(wanted), live.count), np.float32)
        for q, query in enumerate(wanted):
            scores[q] = _scores(query, segments)[live.alive]
        return scores

    def _unit_queries(self, queries: ArrayLike, k: int) -> NDArray[np.float64]:
        wanted = checked_queries(queries, k, self.dimension).astype(np.float64)
        lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
        unit: NDArray[np.float64] = wanted / np.where(lengths > 0, lengths, 1)
        return unit

    def _check(
        self, ids: NDArray[np.int64], bounds: NDArray[np.int64], words: NDArray[np.int64], values: Vectors
    ) -> None:
        """Raise UsageError if the arrays of sparse rows are inconsistent."""
        if ids.ndim != 1 or bounds.shape != (len(ids) + 1,) or values.shape != words.shape:
            raise UsageError(
                f"got ids {ids.shape}, indptr {bounds.shape}, words {words.shape} and values {values.shape}; "
                "expected (n,), (n + 1,), (m,) and (m,)"
            )
        if bounds[0] != 0 or bounds[-1] != len(words) or (np.diff(bounds) < 0).any():
            raise UsageError(f"indptr: expected ascending numbers from 0 to {len(words)}, the number of components")
        if words.size and not 0 <= words.min() <= words.max() < self.dimension:
            raise UsageError(f"words: got {words.min()} to {words.max()}; expected 0 to {self.dimension - 1}")
        if (values < 0).any():
            raise UsageError("rows: got negative components; expected word counts, weighted or not")


def _scores(query: NDArray[np.float64], segments: Sequence[_Postings]) -> NDArray[np.float64]:
    """Return the dot product of `query` (K,) with every row of all segments."""
    return np.concatenate([np.empty(0), *(each.scores(query) for each in segments)])
