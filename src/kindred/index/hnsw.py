"""Approximate search in a graph of neighbours: HNSW (Malkov and Yashunin, 2018) by FAISS.

Rows are kept as float16: half the memory, and faster, because a walk through the graph waits for memory. For
unit vectors the scores differ from exact ones by less than 0.0001.
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
from kindred.index.graph_file import GraphShape, graph_bytes, grown, load_faiss, new_graph, scan, viewed, write_graph
from kindred.index.hnsw_settings import HNSW_SIMILARITIES, RANGES, HNSWSettings
from kindred.index.id_map import Found, IdMap, checked_queries, checked_rows, padded_ranking
from kindred.ranking import Ranking

__all__ = ["HNSWIndex"]

KIND = "hnsw"
LARGEST = float(np.finfo(np.float16).max)
BEAM_RATIO = 4
"""Candidates kept for each one wanted: with fewer, the walk misses some of the later ones."""
FETCH_LIMIT = 512
"""A walk that must bring more rows than this costs as much as comparing all that may answer."""
SCAN_ROWS = 2000
"""So few candidates are compared one by one in less time than a walk takes."""


MOST_COMPONENTS = 1 << 16


class HNSWIndex:
    """A graph over float16 rows; removed rows stay in it as stepping stones and are left out of answers.

    Built by several threads, the graph differs a little from one build to the next, as it is chance which of
    two rows comes first; with one OpenMP thread it follows from the rows alone.
    Raises UsageError for a similarity other than `HNSW_SIMILARITIES`.
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
        """The bytes that rows and links take, wherever they lie."""
        return graph_bytes(self._graph)

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before.

        No search may run meanwhile: FAISS changes the graph in place. Raises UsageError where a component is
        beyond float16, and on an index that was loaded as mapped.
        """
        if self._mapped is not None:  # FAISS would end the process
            raise UsageError("this index is mapped from its file and cannot grow; load it with mapped=False")
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
        """Return the best `k` for queries (Q, D), among the ids in `allowed` only if that is given.

        Where few rows may answer, the graph leads to too few of them, so these rows are compared one by one.
        """
        return padded_ranking(self.nearest(queries, k, allowed=allowed), min(k, len(self)))

    def nearest(self, queries: ArrayLike, k: int, *, allowed: NDArray[np.int64] | None = None) -> Found:
        """Return what `search` does as plain arrays, without padding."""
        wanted = checked_queries(queries, k, self.dimension)
        if self.similarity == "cosine":
            wanted = l2_normalise(wanted)
        live = self.live
        mask = live.mask(allowed)
        candidates = live.count if allowed is None else int(np.count_nonzero(mask))
        answers = min(k, candidates)
        if answers == 0:
            nothing = np.empty((len(wanted), 0))
            return nothing.astype(np.int64), nothing.astype(np.float32)
        fetch = _candidates_to_fetch(answers, candidates, len(live.ids))
        if fetch is None:
            places, scores = self._scan(wanted, mask, answers)
        else:
            places, scores = self._walk(wanted, mask, fetch, answers)
            lacking = places[:, -1] < 0
            if lacking.any():
                places[lacking], scores[lacking] = self._scan(wanted[lacking], mask, answers)
        return np.where(places < 0, -1, live.ids[places]), scores

    def save(self, file: Path) -> int:
        """Write the index to `file`, which appears there complete or not at all; return its checksum."""
        facts = {
            "kind": KIND,
            "dimension": self.dimension,
            "similarity": self.similarity,
            **asdict(self.settings),
        }

        def payload(sink: Sink) -> None:
            for piece in write_graph(self._graph, self._shape):
                sink.write(piece)

        return write_container(file, facts, self.live, payload=payload)

    @classmethod
    def load(cls, file: Path, *, mapped: bool = False, checksum: int | None = None) -> Self:
        """Read what `save` wrote. Raises LibraryDamaged for a file cut off, changed or of another kind.

        mapped: leave the rows in the file, where the system reads them as needed and processes share them;
        such an index opens at once and cannot grow. checksum: what `save` returned, to take no other file.
        """
        container = read_container(file, KIND)
        if checksum not in (None, container.checksum):
            raise LibraryDamaged(f"{file}: is from another time; delete it, it is made again")
        count = len(container.live.ids)
        try:
            index = cls(
                container.whole("dimension", 1, MOST_COMPONENTS),
                similarity=str(container.facts.get("similarity")),
                settings=HNSWSettings(*(container.whole(name, *RANGES[name]) for name in RANGES)),
            )
            index._graph = (viewed if mapped else grown)(container.payload, index._shape, count)
        except (ValueError, UsageError) as error:
            raise LibraryDamaged(f"{file}: holds no sound graph ({error}); delete it, it is made again") from error
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

    def _walk(self, queries: Vectors, mask: NDArray[np.bool_], fetch: int, answers: int) -> Found:
        """Return places and scores (Q, answers) by way of the graph; −1 and −inf where it led to too few."""
        beam = load_faiss().SearchParametersHNSW(efSearch=max(self.settings.ef_search, BEAM_RATIO * fetch))
        distances, places = self._graph.search(queries, fetch, params=beam)
        scores = self._scores(distances)
        if fetch == answers and places.min(initial=0) >= 0 and np.isfinite(scores).all():  # nothing to leave out
            return places, scores
        places[~mask[places]] = -1
        found, best = _ordered(places, scores)
        return found[:, :answers], best[:, :answers]

    def _scan(self, queries: Vectors, mask: NDArray[np.bool_], answers: int) -> Found:
        """Return places and scores (Q, answers) of the best rows in `mask`, each of them compared."""
        distances, places = scan(self._graph, queries, mask, answers)
        return _ordered(places, self._scores(distances))

    def _scores(self, distances: Vectors) -> Vectors:
        """Return higher-is-better scores: FAISS gives squared distances for L2."""
        if self.similarity != "euclidean":
            return distances
        return -np.sqrt(np.maximum(distances, 0))


def _ordered(places: NDArray[np.int64], scores: Vectors) -> Found:
    """Return them best first, equal scores by place; what is no answer, or has no finite score, is −1 at the end."""
    nothing = (places < 0) | ~np.isfinite(scores)
    places, scores = np.where(nothing, -1, places), np.where(nothing, -np.inf, scores)
    best = np.lexsort((places, -scores))
    return np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _candidates_to_fetch(k: int, candidates: int, total: int) -> int | None:
    """Return how many rows a walk must bring so that k of them may answer; None to compare all that may.

    With a share s of all rows as candidates, k / s rows hold k of them on average; half as many again and a
    few make a shortfall rare, and a shortfall is noticed.
    """
    if candidates <= SCAN_ROWS:
        return None
    if candidates == total:
        return k if k <= FETCH_LIMIT else None
    fetch = math.ceil(1.5 * k * total / candidates) + 16
    return fetch if fetch <= FETCH_LIMIT else None
