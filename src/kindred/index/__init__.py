"""Search indexes: rows in, the best k for a query out.

An index is derived: it can always be made again from the store. `INDEXES` is the table of them, and `index_for` opens
the one that serves a recipe, over a store or over rows in memory (`ArraySource`).

An `Index` follows its source and takes filters; most are made of an engine, which knows rows and ids alone:
`ExactIndex` compares a query with every row and needs only NumPy; `HNSWIndex` walks a graph of neighbours (FAISS) and
meets a thousandth of a million rows; `CodedIndex` holds a few bytes of each; `InvertedFile` is for rows of mostly
zeros, as bags of words are; `MultiVectorIndex` is for images that are several rows each; `HammingIndex` finds images by
the visual words of their local features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.index.candidates import CANDIDATES, join_candidates
    from kindred.index.coded import CodedIndex
    from kindred.index.exact import ExactIndex
    from kindred.index.hamming import HammingIndex
    from kindred.index.hnsw import HNSWIndex
    from kindred.index.hnsw_settings import HNSW_SIMILARITIES, HNSWSettings
    from kindred.index.inverted import InvertedFile
    from kindred.index.multi_vector import MultiVectorIndex
    from kindred.index.protocol import Engine, ExhaustiveIndex, Index, Queries, RowSource
    from kindred.index.snapshot import SnapshotIndex, SnapshotPolicy
    from kindred.index.source import ArraySource
    from kindred.index.synced import SyncedIndex
    from kindred.index.synced_rows import SyncedRows
    from kindred.index.synced_words import SyncedWords
    from kindred.index.table import INDEXES, IndexEntry, IndexSettings, choose_index, index_for

__all__ = [
    "CANDIDATES",
    "HNSW_SIMILARITIES",
    "INDEXES",
    "ArraySource",
    "CodedIndex",
    "Engine",
    "ExactIndex",
    "ExhaustiveIndex",
    "HNSWIndex",
    "HNSWSettings",
    "HammingIndex",
    "Index",
    "IndexEntry",
    "IndexSettings",
    "InvertedFile",
    "MultiVectorIndex",
    "Queries",
    "RowSource",
    "SnapshotIndex",
    "SnapshotPolicy",
    "SyncedIndex",
    "SyncedRows",
    "SyncedWords",
    "choose_index",
    "index_for",
    "join_candidates",
]

__getattr__ = imported_late(
    __name__,
    {
        "candidates": "CANDIDATES, join_candidates",
        "coded": "CodedIndex",
        "exact": "ExactIndex",
        "hamming": "HammingIndex",
        "hnsw": "HNSWIndex",
        "hnsw_settings": "HNSW_SIMILARITIES, HNSWSettings",
        "inverted": "InvertedFile",
        "multi_vector": "MultiVectorIndex",
        "protocol": "Engine, ExhaustiveIndex, Index, Queries, RowSource",
        "snapshot": "SnapshotIndex, SnapshotPolicy",
        "source": "ArraySource",
        "synced": "SyncedIndex",
        "synced_rows": "SyncedRows",
        "synced_words": "SyncedWords",
        "table": "INDEXES, IndexEntry, IndexSettings, choose_index, index_for",
    },
)
