"""Approximate search in a graph of neighbours: HNSW (Malkov and Yashunin, 2018) by FAISS.

Rows are kept as float16: half the memory, and faster, because a walk through the graph waits for memory. For
unit vectors the scores differ from exact ones by less than 0.0001.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import LibraryDamaged, UsageError
from kindred.hints import check_known
from kindred.index.container import Sink, read_container, write_container
from kindred.index.id_map import Found, IdMap, checked_queries, checked_rows, padded_ranking
from kindred.ranking import Ranking

__all__ = ["HNSW_SIMILARITIES", "HNSWIndex", "HNSWSettings"]

HNSW_SIMILARITIES = ("cosine", "dot", "euclidean")
"""What FAISS can walk a graph by; l1 and chi_square are compared exactly."""

KIND = "hnsw"
LARGEST = float(np.finfo(np.float16).max)
CALLBACK_BYTES = 1 << 22
BEAM_RATIO = 4
"""Candidates kept for each one wanted: with fewer, the walk misses some of the later ones."""
FETCH_LIMIT = 512
"""A walk that must bring more rows than this costs as much as comparing all that may answer."""
SCAN_ROWS = 2000
"""So few candidates are compared one by one in less time than a walk takes."""


@dataclass(frozen=True)
class HNSWSettings:
    """m: neighbours of a row. ef_construction, ef_search: candidates kept while building and searching.

    The defaults are measured with benchmarks/million.py. A larger m or ef_construction makes building slower,
    m takes 8 bytes a row, ef_search makes searching slower; each raises recall.
    """

    m: int = 24
    ef_construction: int = 200
    ef_search: int = 256


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
        faiss = _faiss()
        metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        graph = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_fp16, self.settings.m, metric)
        graph.hnsw.efConstruction = self.settings.ef_construction
        self._graph: Any = graph
        self._mapped = False
        self.live = IdMap()

    def __len__(self) -> int:
        """Return the number of rows that can be found."""
        return self.live.count

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows (n, D) under ids (n,), which must ascend and lie above all ids before.

        No search may run meanwhile: FAISS changes the graph in place. Raises UsageError where a component is
        beyond float16, and on an index that was loaded as mapped.
        """
        if self._mapped:  # FAISS would end the process
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
        return padded_ranking(self.nearest(queries, k, allowed=allowed), k)

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
        fetch = _candidates_to_fetch(k, candidates, len(live.ids))
        if fetch is None:
            places, scores = self._scan(wanted, mask, answers)
        else:
            places, scores = self._walk(wanted, mask, fetch, answers)
            lacking = places[:, -1] < 0
            if lacking.any():
                places[lacking], scores[lacking] = self._scan(wanted[lacking], mask, answers)
        return live.ids[places], scores

    def save(self, file: Path) -> int:
        """Write the index to `file`, which appears there complete or not at all; return its checksum."""
        facts = {
            "kind": KIND,
            "dimension": self.dimension,
            "similarity": self.similarity,
            **asdict(self.settings),
        }

        def payload(sink: Sink) -> None:
            faiss = _faiss()
            faiss.write_index(self._graph, faiss.PyCallbackIOWriter(sink.write, CALLBACK_BYTES))

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
        facts = container.facts
        settings = HNSWSettings(int(facts["m"]), int(facts["ef_construction"]), int(facts["ef_search"]))
        index = cls(int(facts["dimension"]), similarity=str(facts["similarity"]), settings=settings)
        faiss = _faiss()
        try:
            with _name_for_faiss(file) as name:
                index._graph = faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise LibraryDamaged(f"{file}: FAISS cannot read this index; delete it, it is made again") from error
        index._mapped = mapped
        index.live = container.live
        return index

    def _prepared(self, rows: Vectors) -> Vectors:
        if self.similarity == "cosine":
            return l2_normalise(rows)
        if rows.size and np.abs(rows).max() > LARGEST:
            raise UsageError(f"rows: got components beyond ±{LARGEST:.0f}; expected rows of about unit length")
        return rows

    def _walk(self, queries: Vectors, mask: NDArray[np.bool_], fetch: int, answers: int) -> Found:
        """Return places and scores (Q, answers) by way of the graph; −1 and −inf where it led to too few."""
        beam = _faiss().SearchParametersHNSW(efSearch=max(self.settings.ef_search, BEAM_RATIO * fetch))
        distances, places = self._graph.search(queries, fetch, params=beam)
        scores = self._scores(distances)
        if fetch == answers:  # nothing to leave out
            return places, scores
        may_answer = (places >= 0) & mask[places]
        scores[~may_answer] = -np.inf
        places[~may_answer] = -1
        best = np.lexsort((places, -scores))[:, :answers]
        return np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _scan(self, queries: Vectors, mask: NDArray[np.bool_], answers: int) -> Found:
        """Return places and scores (Q, answers) of the best rows in `mask`, each of them compared."""
        faiss = _faiss()
        members = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        storage = faiss.downcast_index(self._graph.storage)
        distances, places = storage.search(queries, answers, params=faiss.SearchParameters(sel=members))
        scores = self._scores(distances)
        best = np.lexsort((places, -scores))
        return np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _scores(self, distances: Vectors) -> Vectors:
        """Return higher-is-better scores: FAISS gives squared distances for L2."""
        if self.similarity != "euclidean":
            return distances
        return -np.sqrt(np.maximum(distances, 0))


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


def _faiss() -> ModuleType:
    """Import FAISS when it is needed: it takes a tenth of a second. Its own type stubs miss half of it."""
    return import_module("faiss")


@contextmanager
def _name_for_faiss(file: Path) -> Iterator[str]:
    """Give a name of `file` that FAISS can take: it knows UTF-8 only, a Linux path may be any bytes."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        with file.open("rb") as opened:
            yield f"/proc/self/fd/{opened.fileno()}"
    else:
        yield str(file)
