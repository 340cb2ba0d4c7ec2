"""The bytes of an HNSW graph: written here, and checked here to the last number before FAISS sees them.

FAISS reads many kinds of index from a file, one whose lists lie in another file anywhere on the disk included, and
follows the neighbours in it without a check. A library may come from a stranger. So the bytes must be exactly those
of the one kind that Kindred writes, a graph over float16 rows (FAISS's `IndexHNSWSQ`, "IHNs" over "IxSQ"), with every
length the one that follows from the number of rows, and every neighbour a row that has the level.
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

__all__ = ["GraphShape", "graph_bytes", "grown", "load_faiss", "new_graph", "scan", "viewed", "write_graph"]

Graph: TypeAlias = Any
"""An `IndexHNSWSQ` of FAISS, whose own type stubs miss half of it."""
Buffer: TypeAlias = NDArray[np.uint8]

HEADER = struct.Struct("<4siqqq?i")
"""Kind, dimension, rows, two numbers without meaning, whether it is trained, metric."""
STATE = struct.Struct("<iiiii")
"""Entry point, highest level, efConstruction, efSearch, one number without meaning."""
QUANTISER = struct.Struct("<iifQQ")
"""Type of number, how its range was found (twice), dimension, bytes of a row."""
LENGTH = struct.Struct("<Q")
UNUSED = 1 << 20
CHUNK = 1 << 24
CHECKED = 1 << 16


@dataclass(frozen=True)
class GraphShape:
    """What decides the layout of a graph: D, whether a distance compares rows, FAISS's M and efConstruction."""

    dimension: int
    distance: bool
    m: int
    ef_construction: int


@dataclass(frozen=True, eq=False)
class _Parts:
    """The arrays of a graph of N rows, as they lie in the file, and where walks begin.

    levels: (N,) int32, how many levels each row has, at least 1. neighbours: int32, row by row, level by level, −1 for
    none. rows: (2·N·D,) uint8, the float16 components. entry: a row on the highest level.
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
    """Yield the bytes of a graph, as FAISS would write them, piece by piece."""
    for piece in _layout(_parts_of(graph), shape):
        data = memoryview(piece).cast("B") if len(piece) else b""
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]


def viewed(data: Buffer, shape: GraphShape, count: int) -> Graph:
    """Return the graph of `count` rows that reads `data` where it lies; it cannot grow, and `data` must outlive it.

    Raises ValueError where `data` is anything but what `write_graph` wrote of such a graph.
    """
    _checked(data, shape, count)
    faiss = load_faiss()
    # From memory: whatever happens to the file meanwhile, these are the bytes that were checked.
    return faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size))


def grown(data: Buffer, shape: GraphShape, count: int) -> Graph:
    """Return the graph of `count` rows with a copy of what is in `data`, to be added to; FAISS parses nothing.

    Raises ValueError as `viewed` does.
    """
    parts, faiss = _checked(data, shape, count), load_faiss()
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


def scan(graph: Graph, queries: Vectors, mask: NDArray[np.bool_], k: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Return FAISS's distances and places (Q, k) of the best rows in `mask`, each of them compared."""
    faiss = load_faiss()
    members = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
    storage = faiss.downcast_index(graph.storage)
    distances, places = storage.search(queries, k, params=faiss.SearchParameters(sel=members))
    return distances, places


def graph_bytes(graph: Graph) -> int:
    """Return the bytes that rows and links take, wherever they lie."""
    storage = load_faiss().downcast_index(graph.storage)
    return int(storage.codes.size() + 4 * graph.hnsw.neighbors.size())


def load_faiss() -> ModuleType:
    """Import FAISS when it is needed: it takes a tenth of a second."""
    return import_module("faiss")


def _parts_of(graph: Graph) -> _Parts:
    """Return the arrays of a graph, as views where FAISS has them in memory."""
    faiss = load_faiss()
    rows, neighbours = faiss.downcast_index(graph.storage).codes, graph.hnsw.neighbors
    return _Parts(
        faiss.vector_to_array(graph.hnsw.levels),
        _view(neighbours, np.int32),
        _view(rows, np.uint8),
        graph.hnsw.entry_point,
    )


def _view(vector: Any, dtype: type[np.int32] | type[np.uint8]) -> NDArray[Any]:
    size = vector.size()
    return load_faiss().rev_swig_ptr(vector.data(), size) if size else np.empty(0, dtype)


def _layout(parts: _Parts, shape: GraphShape) -> list[Any]:
    """Return the pieces that lie one after another in the file: bytes, and arrays."""
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
    """Return how likely a new row is to reach each level, and where its neighbours of each level begin."""
    faiss, graph = load_faiss(), new_graph(shape)  # held, as what is in it lives no longer
    return faiss.vector_to_array(graph.hnsw.assign_probas), faiss.vector_to_array(graph.hnsw.cum_nneighbor_per_level)


def _offsets(levels: NDArray[np.int32], slots: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return (N + 1,): where the neighbours of each row begin."""
    offsets = np.zeros(len(levels) + 1, np.uint64)
    np.cumsum(slots[levels], dtype=np.uint64, out=offsets[1:])
    return offsets


def _highest(parts: _Parts) -> int:
    return int(parts.levels.max()) - 1 if len(parts.levels) else -1


def _checked(data: Buffer, shape: GraphShape, count: int) -> _Parts:
    """Return the parts of a graph, or raise ValueError where any byte is not as `_layout` has it."""
    empty = np.empty(0, np.int32)
    _, slots = _tables(shape)
    # What precedes the levels is the same for all graphs of this shape and size.
    before = _size(_layout(_Parts(empty, empty, np.empty(0, np.uint8), -1), shape)[:6])
    levels = _taken(data, before, count, np.int32)
    if count and not 1 <= levels.min() <= levels.max() < len(slots):
        raise ValueError("a row has no level, or more than there are")
    edges = int(slots[levels].sum(dtype=np.int64))
    start = before + levels.nbytes + LENGTH.size + 8 * (count + 1) + LENGTH.size
    neighbours = _taken(data, start, edges, np.int32)
    (entry,) = _taken(data, start + neighbours.nbytes, 1, np.int32).tolist()
    rows = data[max(0, data.size - 2 * count * shape.dimension) :]
    parts = _Parts(levels, neighbours, rows, entry)
    _compare(data, _layout(parts, shape))
    _check_walks(parts, slots)
    return parts


def _compare(data: Buffer, expected: list[Any]) -> None:
    """Raise ValueError unless `data` is what lies in the pieces; those that are views of it need no second look."""
    if data.size != _size(expected):
        raise ValueError(f"{data.size} bytes, expected {_size(expected)}")
    at = 0
    for piece in expected:
        size = _size([piece])
        is_view = isinstance(piece, np.ndarray) and np.may_share_memory(piece, data)
        if size and not is_view and data[at : at + size].tobytes() != memoryview(piece).tobytes():
            raise ValueError(f"byte {at}: not a graph of this kind and size")
        at += size


def _check_walks(parts: _Parts, slots: NDArray[np.int32]) -> None:
    """Raise ValueError where a walk would leave the graph: from its entry, or by a neighbour."""
    count, levels, neighbours = len(parts.levels), parts.levels, parts.neighbours
    if not count:
        if parts.entry != -1:
            raise ValueError("an entry to a graph of no rows")
        return
    if not 0 <= parts.entry < count or levels[parts.entry] != levels.max():
        raise ValueError("the entry is not on the highest level")
    for start in range(0, len(neighbours), CHECKED):
        part = neighbours[start : start + CHECKED].copy()  # in the file they are not aligned, which is slow to compare
        if part.min() < -1 or part.max() >= count:
            raise ValueError("a neighbour that is no row")
    starts = np.cumsum(slots[levels], dtype=np.int64) - slots[levels]
    for level in range(1, int(levels.max())):
        here = starts[levels > level]
        places = here[:, None] + np.arange(slots[level], slots[level + 1])
        found = neighbours[places]
        if (levels[found[found >= 0]] <= level).any():
            raise ValueError("a neighbour that is not on the level")


def _taken(data: Buffer, start: int, count: int, dtype: type[np.int32]) -> NDArray[np.int32]:
    """Return `count` numbers from byte `start`, as a view; raises ValueError where `data` ends before."""
    if start + 4 * count > data.size:
        raise ValueError("cut off")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), count, start)


def _size(pieces: list[Any]) -> int:
    return sum(memoryview(piece).nbytes for piece in pieces)
