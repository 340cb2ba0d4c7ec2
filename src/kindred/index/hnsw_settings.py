"""What a graph of neighbours is built and searched with; apart from the graph itself, which few searches need."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kindred.errors import UsageError

__all__ = ["HNSW_SIMILARITIES", "RANGES", "HNSWSettings"]

HNSW_SIMILARITIES = ("cosine", "dot", "euclidean")
"""What FAISS can walk a graph by; l1 and chi_square are compared exactly."""

RANGES = {"m": (2, 128), "ef_construction": (1, 1 << 14), "ef_search": (1, 1 << 16)}


@dataclass(frozen=True)
class HNSWSettings:
    """m: neighbours of a row. ef_construction, ef_search: candidates kept while building and searching.

    The defaults are measured with benchmarks/million.py. A larger m or ef_construction makes building slower,
    m takes 8 bytes a row, ef_search makes searching slower; each raises recall. Raises UsageError for one out of range.
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
