"""KINDS: the kinds of index that Milvus builds over the vectors, with their parameters.

Candidates are scored by their full vectors afterwards, so that the kind decides which rows are found, never the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["DEFAULT_KIND", "KINDS", "Kind", "Parameters"]

Parameters: TypeAlias = Mapping[str, int | str]

DEFAULT_KIND = "hnsw"
LISTS = 1024
"""Lists per segment of an inverted file; a segment holds some 100,000 vectors."""
LEAST_PROBED = 64
LARGEST_BEAM = 32_768
LARGEST_SEARCH_LIST = 65_535


@dataclass(frozen=True)
class Kind:
    """One entry of KINDS.

    summary: what it is. type: the name of the index in Milvus. since: the first version of the server that has it.
    building: dimension D → parameters. searching: number of candidates → parameters, with more effort for more. depth:
    candidates for each result: many where the order is that of coarse codes.
    """

    summary: str
    type: str
    since: tuple[int, int]
    building: Callable[[int], Parameters]
    searching: Callable[[int], Parameters]
    depth: int = 1


def _beam(candidates: int) -> Parameters:
    return {"ef": min(LARGEST_BEAM, max(256, 2 * candidates))}


def _probed(candidates: int) -> Parameters:
    return {"nprobe": min(LISTS, max(LEAST_PROBED, candidates // 4))}


def _refined(candidates: int) -> Parameters:
    return {**_probed(candidates), "refine_k": 3}


def _search_list(candidates: int) -> Parameters:
    return {"search_list": min(LARGEST_SEARCH_LIST, max(128, 2 * candidates))}


def _product_code(dimension: int) -> Parameters:
    """One byte for each four components, or for as many more as divide the dimension."""
    parts = next(parts for parts in range(max(1, dimension // 4), 0, -1) if dimension % parts == 0)
    return {"nlist": LISTS, "m": parts, "nbits": 8}


KINDS: dict[str, Kind] = {
    "hnsw": Kind(
        "a graph of nearest neighbours, in memory: the fastest, 4 bytes a component",
        "HNSW",
        (2, 3),
        lambda _: {"M": 24, "efConstruction": 200},
        _beam,
    ),
    "ivf": Kind(
        "an inverted file of clusters, in memory: built faster than a graph, 4 bytes a component",
        "IVF_FLAT",
        (2, 3),
        lambda _: {"nlist": LISTS},
        _probed,
    ),
    "pq": Kind(
        "an inverted file of product codes, a quarter of a byte a component",
        "IVF_PQ",
        (2, 3),
        _product_code,
        _probed,
        depth=10,
    ),
    "diskann": Kind(
        "a graph on the server's disk, which must be an SSD and enabled there",
        "DISKANN",
        (2, 3),
        lambda _: {},
        _search_list,
    ),
    "rabitq": Kind(
        "an inverted file of one bit a component (RaBitQ), refined by one byte a component",
        "IVF_RABITQ",
        (2, 6),
        lambda _: {"nlist": LISTS, "refine": "true", "refine_type": "SQ8"},
        _refined,
        depth=2,
    ),
}
