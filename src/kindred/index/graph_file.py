"""The file format of an HNSW graph: its bytes are written here, and validated here before FAISS reads them.

FAISS reads many kinds of index from a file, including one whose lists are in another file anywhere on the disk, and
follows the stored neighbours without validation. A library may come from an untrusted source. The bytes must therefore
be exactly those of the one kind that Kindred writes, a graph over float16 rows (FAISS's `IndexHNSWSQ`, "IHNs" over
"IxSQ"): every length must follow from the number of rows, and every neighbour must be a row present on that level.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors

__all__ = [
    "GraphShape",
    "copy_graph",
    "graph_bytes",
    "load_faiss",
    "map_graph",
    "new_graph",
    "search_exhaustively",
    "write_graph",
]

Graph: TypeAlias = Any
"""An `IndexHNSWSQ` of FAISS, whose type stubs are incomplete."""
Buffer: TypeAlias = NDArray[np.uint8]

HEADER = struct.Struct("<4siqqq?i")
"""Kind, dimension, number of rows, two unused numbers, whether it is trained, metric."""
STATE = struct.Struct("<iiiii")
"""Entry point, highest level, efConstruction, efSearch, one unused number."""
QUANTISER = struct.Struct("<iifQQ")
"""Number type, range statistic and its argument, dimension, bytes per row."""
LENGTH = struct.Struct("<Q")
UNUSED = 1 << 20
CHUNK = 1 << 24
CHECK_CHUNK = 1 << 16


@dataclass(frozen=True)
class GraphShape:
    """The parameters that determine the layout of a graph: D, whether the metric is L2, M and efConstruction."""

    dimension: int
    distance: bool
    m: int
    ef_construction: int


@dataclass(frozen=True, eq=False)
class _GraphArrays:
    """The arrays of a graph of N rows, in the order of the file, and its entry point.

    levels: (N,) int32, the number of levels of each row, at least 1. neighbours: int32, by row and then by level, −1
    for an empty slot. rows: (2·N·D,) uint8, the float16 components. entry: a row on the highest level.
    """

    levels: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    rows: Buffer
    entry: int


def new_graph(shape: GraphShape) -> Graph:
    """Return an empty graph."""
    faiss = load_faiss()
    metric = faiss.METRIC_L2 if shape.distance else faiss.METRIC_INNER_PRODUCT
    graph = faiss.IndexHNSWSQ(shape.dimension, faiss.ScalarQuantizer.QT_fp16, shape.m, metric)
    graph.hnsw.efConstruction = shape.ef_construction
    return graph


def write_graph(graph: Graph, shape: GraphShape) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a graph in FAISS's format, in chunks."""
    for piece in _layout(_arrays_of(graph), shape):
        data = memoryview(piece).cast("B") if len(piece) else b""
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]


def map_graph(data: Buffer, shape: GraphShape, count: int) -> Graph:
    """Return a read-only graph of `count` rows over `data`, without a copy; `data` must outlive it.

    Raises ValueError unless `data` has exactly the layout that `write_graph` writes for such a graph.
    """
    _validated(data, shape, count)
    faiss = load_faiss()
    # Read from memory, so that these are the validated bytes even if the file changes meanwhile.
    return faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size))


def copy_graph(data: Buffer, shape: GraphShape, count: int) -> Graph:
    """Return a graph of `count` rows copied from `data`, to which rows can be added; FAISS parses nothing.

    Raises ValueError as `map_graph` does.
    """
    parts, faiss = _validated(data, shape, count), load_faiss()
    graph = new_graph(shape)
    storage = faiss.downcast_index(graph.storage)
    faiss.copy_array_to_vector(np.require(parts.levels, requirements=["C", "A"]), graph.hnsw.levels)
    faiss.copy_array_to_vector(_offsets(parts.levels, _tables(shape)[1]), graph.hnsw.offsets)
    for vector, array in ((graph.hnsw.neighbors, parts.neighbours), (storage.codes, parts.rows)):
        vector.resize(array.size)
        if array.size:
            faiss.rev_swig_ptr(vector.data(), array.size)[:] = array
    graph.hnsw.entry_point, graph.hnsw.max_level = parts.entry, _highest(parts)
    graph.ntotal = storage.ntotal = count
    return graph


def search_exhaustively(
    graph: Graph, queries: Vectors, mask: NDArray[np.bool_], k: int
) -> tuple[Vectors, NDArray[np.int64]]:
    """Compare queries with all rows in `mask`; return FAISS's distances and row numbers (Q, k) of the best."""
    faiss = load_faiss()
    members = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
    storage = faiss.downcast_index(graph.storage)
    distances, places = storage.search(queries, k, params=faiss.SearchParameters(sel=members))
    return distances, places


def graph_bytes(graph: Graph) -> int:
    """Return the size of rows and links in bytes, in memory or mapped."""
    storage = load_faiss().downcast_index(graph.storage)
    return int(storage.codes.size() + 4 * graph.hnsw.neighbors.size())


def load_faiss() -> ModuleType:
    """Import FAISS on first use, as it takes a tenth of a second."""
    return import_module("faiss")


def _arrays_of(graph: Graph) -> _GraphArrays:
    """Return the arrays of a graph, as views of FAISS's memory where possible."""
    faiss = load_faiss()
    rows, neighbours = faiss.downcast_index(graph.storage).codes, graph.hnsw.neighbors
    return _GraphArrays(
        faiss.vector_to_array(graph.hnsw.levels),
        _view(neighbours, np.int32),
        _view(rows, np.uint8),
        graph.hnsw.entry_point,
    )


def _view(vector: Any, dtype: type[np.int32] | type[np.uint8]) -> NDArray[Any]:
    size = vector.size()
    return load_faiss().rev_swig_ptr(vector.data(), size) if size else np.empty(0, dtype)


def _layout(parts: _GraphArrays, shape: GraphShape) -> list[Any]:
    """Return the sections of the file in order, as bytes or arrays."""
    count, metric, fp16 = len(parts.levels), int(shape.distance), load_faiss().ScalarQuantizer.QT_fp16
    chances, slots = _tables(shape)
    return [
        HEADER.pack(b"IHNs", shape.dimension, count, UNUSED, UNUSED, True, metric),
        *_vector(chances),
        *_vector(slots),
        *_vector(parts.levels),
        *_vector(_offsets(parts.levels, slots)),
        *_vector(parts.neighbours),
        STATE.pack(parts.entry, _highest(parts), shape.ef_construction, 16, 1),
        HEADER.pack(b"IxSQ", shape.dimension, count, UNUSED, UNUSED, True, metric),
        QUANTISER.pack(fp16, 0, 0.0, shape.dimension, 2 * shape.dimension),
        LENGTH.pack(0),
        *_vector(parts.rows),
    ]


def _vector(values: NDArray[Any]) -> tuple[bytes, NDArray[Any]]:
    return LENGTH.pack(values.size), values.astype(values.dtype.newbyteorder("<"), copy=False)


def _tables(shape: GraphShape) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the probability of each level for a new row, and the offset of each level in its neighbour list."""
    faiss, graph = (
        load_faiss(),
        new_graph(shape),
    )  # bound to a name, as its vectors must not be freed before they are copied
    return faiss.vector_to_array(graph.hnsw.assign_probas), faiss.vector_to_array(graph.hnsw.cum_nneighbor_per_level)


def _offsets(levels: NDArray[np.int32], slots: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return the offset of the neighbours of each row, (N + 1,)."""
    offsets = np.zeros(len(levels) + 1, np.uint64)
    np.cumsum(slots[levels], dtype=np.uint64, out=offsets[1:])
    return offsets


def _highest(parts: _GraphArrays) -> int:
    return int(parts.levels.max()) - 1 if len(parts.levels) else -1


def _validated(data: Buffer, shape: GraphShape, count: int) -> _GraphArrays:
    """Return the arrays of a graph, or raise ValueError if any byte differs from `_layout`."""
    empty = np.empty(0, np.int32)
    _, slots = _tables(shape)
    # The bytes before the levels are the same for all graphs of this shape and size.
    before = _size(_layout(_GraphArrays(empty, empty, np.empty(0, np.uint8), -1), shape)[:6])
    levels = _read_int32(data, before, count, np.int32)
    if count and not 1 <= levels.min() <= levels.max() < len(slots):
        raise ValueError("a row has no level, or too many levels")
    edges = int(slots[levels].sum(dtype=np.int64))
    start = before + levels.nbytes + LENGTH.size + 8 * (count + 1) + LENGTH.size
    neighbours = _read_int32(data, start, edges, np.int32)
    (entry,) = _read_int32(data, start + neighbours.nbytes, 1, np.int32).tolist()
    rows = data[max(0, data.size - 2 * count * shape.dimension) :]
    parts = _GraphArrays(levels, neighbours, rows, entry)
    _compare(data, _layout(parts, shape))
    _check_neighbours(parts, slots)
    return parts


def _compare(data: Buffer, expected: list[Any]) -> None:
    """Raise ValueError unless `data` equals the sections `expected`; sections that are views of `data` are skipped."""
    if data.size != _size(expected):
        raise ValueError(f"{data.size} bytes, expected {_size(expected)}")
    at = 0
    for piece in expected:
        size = _size([piece])
        is_view = isinstance(piece, np.ndarray) and np.may_share_memory(piece, data)
        if size and not is_view and data[at : at + size].tobytes() != memoryview(piece).tobytes():
            raise ValueError(f"byte {at}: not a graph of this kind and size")
        at += size


def _check_neighbours(parts: _GraphArrays, slots: NDArray[np.int32]) -> None:
    """Raise ValueError if the entry point or a neighbour is not a row of the graph on its level."""
    count, levels, neighbours = len(parts.levels), parts.levels, parts.neighbours
    if not count:
        if parts.entry != -1:
            raise ValueError("a graph of no rows has an entry point")
        return
    if not 0 <= parts.entry < count or levels[parts.entry] != levels.max():
        raise ValueError("the entry point is not on the highest level")
    for start in range(0, len(neighbours), CHECK_CHUNK):
        part = neighbours[start : start + CHECK_CHUNK].copy()  # unaligned in the file, which is slow to compare
        if part.min() < -1 or part.max() >= count:
            raise ValueError("a neighbour is not a row of the graph")
    starts = np.cumsum(slots[levels], dtype=np.int64) - slots[levels]
    for level in range(1, int(levels.max())):
        here = starts[levels > level]
        places = here[:, None] + np.arange(slots[level], slots[level + 1])
        found = neighbours[places]
        if (levels[found[found >= 0]] <= level).any():
            raise ValueError("a neighbour is not on the level")


def _read_int32(data: Buffer, start: int, count: int, dtype: type[np.int32]) -> NDArray[np.int32]:
    """Return `count` int32 from byte `start`, as a view; raises ValueError if `data` is too short."""
    if start + 4 * count > data.size:
        raise ValueError("truncated")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), count, start)


def _size(pieces: list[Any]) -> int:
    return sum(memoryview(piece).nbytes for piece in pieces)
