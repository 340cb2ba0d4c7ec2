"""Approximate nearest-neighbour search by HNSW (Malkov and Yashunin 2018), with FAISS.

Rows are stored as float16, which halves the memory and is faster, as graph search is bound by memory access. For unit
vectors the scores differ from exact ones by less than 0.0001.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import LibraryDamaged, UsageError
from kindred.hints import check_known
from kindred.index.container import Sink, read_container, write_container
from kindred.index.graph_file import (
    GraphShape,
    copy_graph,
    graph_bytes,
    load_faiss,
    map_graph,
    new_graph,
    search_exhaustively,
    write_graph,
)
from kindred.index.hnsw_settings import HNSW_SIMILARITIES, RANGES, HNSWSettings
from kindred.index.id_map import Found, IdMap, checked_queries, checked_rows, padded_ranking
from kindred.index.widening import efforts_up_to, widened
from kindred.ranking import Ranking

__all__ = ["HNSWIndex"]

KIND = "hnsw"
LARGEST = float(np.finfo(np.float16).max)
BEAM_RATIO = 4
"""efSearch per requested row, at least; with fewer candidates the lower ranks lose recall."""
FETCH_LIMIT = 512
"""A graph search for more rows than this is as slow as comparing all allowed rows."""
SCAN_ROWS = 2000
"""Up to this many allowed rows, comparing all of them is faster than a graph search."""


MOST_COMPONENTS = 1 << 16


class HNSWIndex:
    """A graph over float16 rows; removed rows still route the search but are never results.

    Built by several threads, the graph differs slightly from build to build, as the order of insertion varies; with one
    OpenMP thread it is deterministic. Raises UsageError for a similarity not in `HNSW_SIMILARITIES`.
    """

    def __init__(self, dimension: int, *, similarity: str = "cosine", settings: HNSWSettings | None = None) -> None:
        check_known("similarity", similarity, HNSW_SIMILARITIES, error=UsageError)
        self.dimension = dimension
        self.similarity = similarity
        self.settings = settings or HNSWSettings()
        self._graph: Any = new_graph(self._shape)
        self._mapped: NDArray[np.uint8] | None = None
        self.live = IdMap()

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        return self.live.count

    @property
    def nbytes(self) -> int:
        """Size of rows and links in bytes, in memory or mapped."""
        return graph_bytes(self._graph)

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), in ascending order, all above the ids before.

        No search may run at the same time: FAISS changes the graph in place. Raises UsageError for a component beyond
        float16, and on an index that was loaded with `mapped`.
        """
        if self._mapped is not None:  # FAISS would crash the process
            raise UsageError("this index is mapped from its file and read-only; load it with mapped=False to add rows")
        numbers, vectors = checked_rows(ids, rows, self.dimension)
        extended = self.live.extended(numbers)
        self._graph.add(self._prepared(vectors))
        self.live = extended

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        before = self.live
        self.live = before.without(ids)
        return before.count - self.live.count

    def search(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` rows for queries (Q, D); `allowed` restricts the search to those ids (n,).

        If few rows are allowed, they are all compared, as a graph search would find too few of them.
        """
        return padded_ranking(self.nearest(queries, k, allowed=allowed), min(k, len(self)))

    def nearest(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Found:
        """Return the result of `search` as plain arrays, without padding."""
        wanted = checked_queries(queries, k, self.dimension)
        if self.similarity == "cosine":
            wanted = l2_normalise(wanted)
        live = self.live
        mask = live.mask(allowed)
        candidates = live.count if allowed is None else int(np.count_nonzero(mask))
        wanted_k = min(k, candidates)
        if wanted_k == 0:
            nothing = np.empty((len(wanted), 0))
            return nothing.astype(np.int64), nothing.astype(np.float32)
        fetch = _candidates_to_fetch(wanted_k, candidates, len(live.ids))
        if fetch is None:
            places, scores = self._search_exhaustively(wanted, mask, wanted_k)
        else:
            places, scores = self._search_graph(wanted, mask, fetch, wanted_k, filtered=candidates < len(live.ids))
            lacking = places[:, -1] < 0
            if lacking.any():
                places[lacking], scores[lacking] = self._search_exhaustively(wanted[lacking], mask, wanted_k)
        return np.where(places < 0, -1, live.ids[places]), scores

    def save(self, file: Path) -> int:
        """Write the index to `file`, atomically; return its checksum."""
        metadata = {
            "kind": KIND,
            "dimension": self.dimension,
            "similarity": self.similarity,
            **asdict(self.settings),
        }

        def payload(sink: Sink) -> None:
            for piece in write_graph(self._graph, self._shape):
                sink.write(piece)

        return write_container(file, metadata, self.live, payload=payload)

    @classmethod
    def load(cls, file: Path, *, mapped: bool = False, checksum: int | None = None) -> Self:
        """Load a saved index. Raises LibraryDamaged for a file that is truncated, changed or of another kind.

        mapped: map the rows from the file instead of reading them, shared between processes; such an index opens fast
        and is read-only. checksum: the value that `save` returned; another file is refused.
        """
        container = read_container(file, KIND)
        if checksum not in (None, container.checksum):
            raise LibraryDamaged(f"{file}: is not the saved index of this library; delete it, and it is built again")
        count = len(container.live.ids)
        try:
            index = cls(
                container.integer("dimension", 1, MOST_COMPONENTS),
                similarity=str(container.metadata.get("similarity")),
                settings=HNSWSettings(*(container.integer(name, *RANGES[name]) for name in RANGES)),
            )
            index._graph = (map_graph if mapped else copy_graph)(container.payload, index._shape, count)
        except (ValueError, UsageError) as error:
            raise LibraryDamaged(f"{file}: is not a valid graph ({error}); delete it, and it is built again") from error
        index._mapped = container.payload if mapped else None
        index.live = container.live
        return index

    @property
    def _shape(self) -> GraphShape:
        settings = self.settings
        return GraphShape(self.dimension, self.similarity == "euclidean", settings.m, settings.ef_construction)

    def _prepared(self, rows: Vectors) -> Vectors:
        if self.similarity == "cosine":
            return l2_normalise(rows)
        if rows.size and np.abs(rows).max() > LARGEST:
            raise UsageError(f"rows: got components beyond ±{LARGEST:.0f}; expected rows of about unit length")
        return rows

    def _search_graph(
        self, queries: Vectors, mask: NDArray[np.bool_], fetch: int, wanted_k: int, *, filtered: bool
    ) -> Found:
        """Return row numbers and scores (Q, wanted_k) by graph search; −1 and −inf if it finds too few rows."""
        if not filtered:
            places, scores = self._candidates(queries, fetch)
            return places[:, :wanted_k], scores[:, :wanted_k]
        return widened(
            lambda numbers, effort: self._candidates(queries[numbers], effort),
            lambda places: np.where(mask[places], places, -1),
            len(queries),
            wanted_k,
            efforts=efforts_up_to(fetch, FETCH_LIMIT),
        )

    def _candidates(self, queries: Vectors, fetch: int) -> Found:
        """Return row numbers and scores (Q, fetch) of the graph, best first, removed rows included."""
        beam = load_faiss().SearchParametersHNSW(efSearch=max(self.settings.ef_search, BEAM_RATIO * fetch))
        distances, places = self._graph.search(queries, fetch, params=beam)
        return _ordered(places, self._scores(distances))

    def _search_exhaustively(self, queries: Vectors, mask: NDArray[np.bool_], wanted_k: int) -> Found:
        """Return row numbers and scores (Q, wanted_k) of the best rows in `mask`, comparing all of them."""
        distances, places = search_exhaustively(self._graph, queries, mask, wanted_k)
        return _ordered(places, self._scores(distances))

    def _scores(self, distances: Vectors) -> Vectors:
        """Convert FAISS's distances, squared for L2, to scores (higher is better)."""
        if self.similarity != "euclidean":
            return distances
        return -np.sqrt(np.maximum(distances, 0))


def _ordered(places: NDArray[np.int64], scores: Vectors) -> Found:
    """Return rows best first, equal scores by row number; missing rows and non-finite scores are −1 at the end."""
    nothing = (places < 0) | ~np.isfinite(scores)
    places, scores = np.where(nothing, -1, places), np.where(nothing, -np.inf, scores)
    best = np.lexsort((places, -scores))
    return np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _candidates_to_fetch(k: int, candidates: int, total: int) -> int | None:
    """Return how many rows a graph search must fetch to find `k` allowed ones; None to compare all allowed rows.

    If a share s of all rows is allowed, k / s rows contain k allowed ones on average; half as many again plus 16 make
    a shortfall rare, and a shortfall is detected.
    """
    if candidates <= SCAN_ROWS:
        return None
    if candidates == total:
        return k if k <= FETCH_LIMIT else None
    fetch = math.ceil(1.5 * k * total / candidates) + 16
    return fetch if fetch <= FETCH_LIMIT else None
