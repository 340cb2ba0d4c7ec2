"""Search of the rows of one index on the server: candidates by the server, scores by the vectors of the store.

A filter is passed on as the ids that pass it. Whatever the server returns too little of, such as rows that were removed
since or a filter that its graph cannot follow, is searched for with more effort, and in the end by comparing all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise, top_k
from kindred.index.id_map import Found
from kindred.index.milvus.expressions import Runs
from kindred.index.milvus.kinds import KINDS
from kindred.index.milvus.record import IndexRecord
from kindred.index.milvus.server import MilvusServer
from kindred.index.protocol import RowSource
from kindred.index.widening import efforts_up_to, widened
from kindred.similarity import SIMILARITIES

__all__ = ["Filtering", "ServerSearch"]

MARGIN = 8
"""Candidates beyond k, as the server rounds differently."""
MOST_CANDIDATES = 16_384
"""The server returns no more results for a query."""
FEW_ROWS = 8_000
"""Up to this many vectors that pass a filter, all of them are compared.

Reading 5,000 of 512 components from PostgreSQL took 140 ms; the server took 440 ms for as many among a million.
"""
CHARACTERS_OF_A_ROW = 8
"""Characters of an expression that cost the server as much time as one more candidate: 10,000 ids took 300 ms."""
BATCH = 4096
BATCH_RESULTS = 1 << 19
"""Results of one call, of all its queries."""


@dataclass(frozen=True, eq=False)
class Filtering:
    """How a filter is applied: by expressions for the server, or to more results than are wanted.

    expressions: one search each. first: candidates to begin with, at least. after: the ids (n,), ascending, of which
    results are chosen here; None if the server does it, or nothing is filtered.
    """

    expressions: list[str]
    first: int
    after: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, allowed: NDArray[np.int64] | None, *, wanted: int, total: int) -> Filtering:
        """Return the cheaper way to find `wanted` rows of `total` among those `allowed` (n,), ascending."""
        if allowed is None or not len(allowed):
            return cls([""] if allowed is None else [], wanted)
        needed = math.ceil(1.5 * wanted * total / len(allowed)) + MARGIN
        runs = Runs.of(allowed)
        if needed <= MOST_CANDIDATES and CHARACTERS_OF_A_ROW * needed < runs.characters():
            return cls([""], needed, allowed)
        return cls(runs.expressions(), wanted)

    def passing(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the ids (n,) from the server that pass; −1 is none."""
        return ids[ids > 0] if self.after is None else _among(ids, self.after)


class ServerSearch:
    """Search of the vectors in `source` that the index of `record` holds, of which there are at most `total`."""

    def __init__(self, source: RowSource, server: MilvusServer, record: IndexRecord, total: int) -> None:
        self._source, self._server, self._record, self._total = source, server, record, total
        self._unit = record.similarity == "cosine"
        self._compare = SIMILARITIES["dot" if self._unit else record.similarity]

    def best(self, queries: Vectors, k: int, allowed: NDArray[np.int64] | None) -> Found:
        """Return the ids and scores of the best `k` rows for queries (Q, D), or of all if there are fewer.

        allowed: the ids (n,), ascending, that may be returned.
        """
        queries = l2_normalise(queries) if self._unit else queries
        if allowed is not None:
            allowed = allowed[: np.searchsorted(allowed, self._record.last_id, side="right")]
        kept = self._total if allowed is None else len(allowed)
        k = min(k, kept)
        if k <= 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        if k + MARGIN > MOST_CANDIDATES or (allowed is not None and kept <= FEW_ROWS):
            return self._exact(queries, k, allowed)
        return self._by_server(queries, k, allowed)

    def _by_server(self, queries: Vectors, k: int, allowed: NDArray[np.int64] | None) -> Found:
        depth = KINDS[self._record.kind].depth
        filtering = Filtering.of(allowed, wanted=depth * k, total=self._total)
        first = max(filtering.first, min(MOST_CANDIDATES, depth * k + max(MARGIN, k // 4)))

        def search(numbers: NDArray[np.int64], effort: int) -> Found:
            rows = [
                self._scored(query, filtering.passing(ids))
                for part in np.array_split(numbers, math.ceil(len(numbers) * effort / BATCH_RESULTS))
                for query, ids in zip(
                    queries[part], self._candidates(queries[part], effort, filtering.expressions), strict=True
                )
            ]
            return _stacked(rows)

        ids, scores = widened(search, _itself, len(queries), k, efforts=efforts_up_to(first, MOST_CANDIDATES))
        lacking = np.flatnonzero(ids[:, -1] < 0)
        if lacking.size:
            exact_ids, exact_scores = self._exact(queries[lacking], k, allowed)
            ids[lacking, : exact_ids.shape[1]], scores[lacking, : exact_ids.shape[1]] = exact_ids, exact_scores
        return ids, scores

    def _candidates(self, queries: Vectors, limit: int, filters: Sequence[str]) -> NDArray[np.int64]:
        """Return ids (Q, n) that the server finds, in no order; those that are none of ours are −1."""
        found = [self._server.search(self._record, queries, limit, expression) for expression in filters]
        ids = np.concatenate(found, axis=1)
        return np.where(ids > self._record.last_id, -1, ids)

    def _scored(self, query: Vectors, candidates: NDArray[np.int64]) -> tuple[NDArray[np.int64], Vectors]:
        """Return the candidates that the store has, best first, equal scores by id."""
        ids, rows = self._source.fetch(np.unique(candidates))
        if not len(ids):
            return ids, np.empty(0, np.float32)
        scores = self._compare(query[None], l2_normalise(rows) if self._unit else rows)[0]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order].astype(np.float32)

    def _exact(self, queries: Vectors, k: int, allowed: NDArray[np.int64] | None) -> Found:
        """Return the best `k` after comparing all rows that may be returned, read from the store in batches."""
        ids, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        for numbers, rows in self._rows(allowed):
            more = self._compare(queries, l2_normalise(rows) if self._unit else rows).astype(np.float32)
            ids = np.concatenate((ids, np.broadcast_to(numbers, more.shape)), axis=1)
            scores = np.concatenate((scores, more), axis=1)
            order, scores = top_k(scores, k)
            ids = np.take_along_axis(ids, order, axis=1)
        return ids, scores

    def _rows(self, allowed: NDArray[np.int64] | None) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield the rows of the index, or those of `allowed`, by ascending id."""
        batches: Iterable[tuple[NDArray[np.int64], Vectors]]
        if allowed is None:
            batches = self._source.vectors(batch=BATCH)
        else:
            batches = (self._source.fetch(allowed[at : at + BATCH]) for at in range(0, len(allowed), BATCH))
        for ids, rows in batches:
            inside = int(np.searchsorted(ids, self._record.last_id, side="right"))
            if inside:
                yield ids[:inside], rows[:inside]
            if inside < len(ids):
                return


def _among(ids: NDArray[np.int64], allowed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of `ids` (n,) that are in `allowed`, ascending, which may be a million times as many."""
    places = np.minimum(np.searchsorted(allowed, ids), len(allowed) - 1)
    found: NDArray[np.int64] = ids[allowed[places] == ids]
    return found


def _itself(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return ids


def _stacked(rows: Sequence[tuple[NDArray[np.int64], Vectors]]) -> Found:
    """Return the results of several queries in one array each, padded."""
    width = max((len(ids) for ids, _ in rows), default=0)
    ids = np.full((len(rows), width), -1, np.int64)
    scores = np.full((len(rows), width), -np.inf, np.float32)
    for number, (found, best) in enumerate(rows):
        ids[number, : len(found)], scores[number, : len(found)] = found, best
    return ids, scores
