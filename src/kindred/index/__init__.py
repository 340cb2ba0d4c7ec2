"""Search indexes: rows in, the best k for a query out.

An index is derived: it can always be made again from the store. `ExactIndex` compares a query with every
row and needs only NumPy; `HNSWIndex` walks a graph of neighbours (FAISS) and meets a thousandth of a million
rows; `CodedIndex` holds a few bytes of each. `SnapshotIndex` is what a library uses: it keeps the right one of the
first two in step with the store. `InvertedFile` is for rows of mostly zeros, as bags of words are; a
`SyncedIndex` keeps it, or codes, in step. `MultiVectorIndex` is for images that are several rows each.
"""

from __future__ import annotations

from kindred.index.coded import CodedIndex
from kindred.index.exact import ExactIndex
from kindred.index.hnsw import HNSW_SIMILARITIES, HNSWIndex, HNSWSettings
from kindred.index.inverted import InvertedFile
from kindred.index.multi_vector import MultiVectorIndex
from kindred.index.snapshot import SnapshotIndex, SnapshotPolicy
from kindred.index.synced import MutableIndex, SyncedIndex

__all__ = [
    "HNSW_SIMILARITIES",
    "CodedIndex",
    "ExactIndex",
    "HNSWIndex",
    "HNSWSettings",
    "InvertedFile",
    "MultiVectorIndex",
    "MutableIndex",
    "SnapshotIndex",
    "SnapshotPolicy",
    "SyncedIndex",
]
