"""Settings of HNSW, in a module of their own, so that FAISS is imported only for a graph."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kindred.errors import UsageError

__all__ = ["HNSW_SIMILARITIES", "RANGES", "HNSWSettings"]

HNSW_SIMILARITIES = ("cosine", "dot", "euclidean")
"""Similarities that FAISS supports in a graph; l1 and chi_square need exact search."""

RANGES = {"m": (2, 128), "ef_construction": (1, 1 << 14), "ef_search": (1, 1 << 16)}


@dataclass(frozen=True)
class HNSWSettings:
    """m: neighbours of a row. ef_construction, ef_search: sizes of the candidate list in building and searching.

    The defaults were chosen with benchmarks/million.py. Larger values raise recall: m and ef_construction make building
    slower, m takes 8 more bytes per row for each neighbour, ef_search makes searching slower. Raises UsageError for a
    value out of range.
    """

    m: int = 24
    ef_construction: int = 200
    ef_search: int = 256

    def __post_init__(self) -> None:
        for key in fields(self):
            low, high = RANGES[key.name]
            value = getattr(self, key.name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(f"{key.name}: got {value!r}; expected a whole number from {low} to {high}")
