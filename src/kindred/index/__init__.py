"""Search indexes: return the k best rows for a query.

Indexes are derived data: each can be rebuilt from the store. `INDEXES` is the table of all indexes, and `index_for`
opens the one for a recipe, over a store or over rows in memory (`ArraySource`).

An `Index` stays in step with its source and takes filters; most wrap an engine, which handles rows and ids only:
`ExactIndex` compares a query with every row and needs only NumPy; `HNSWIndex` searches a graph of nearest neighbours
(FAISS) and compares about a thousandth of a million rows; `CodedIndex` stores a compact code of each row;
`InvertedFile` is for sparse rows such as bags of visual words; `MultiVectorIndex` is for images of several rows each;
`HammingIndex` finds images by the visual words of their local features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.index.candidates import (
        CANDIDATES,
        LISTED,
        best_of_passes,
        by_words_and_vectors,
        halves,
        join_candidates,
    )
    from kindred.index.coded import CodedIndex
    from kindred.index.exact import ExactIndex
    from kindred.index.hamming import HammingIndex
    from kindred.index.hnsw import HNSWIndex
    from kindred.index.hnsw_settings import HNSW_SIMILARITIES, HNSWSettings
    from kindred.index.inverted import InvertedFile
    from kindred.index.multi_vector import MultiVectorIndex
    from kindred.index.protocol import Engine, ExhaustiveIndex, Index, Queries, RowSource
    from kindred.index.records import FolderRecords
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
    "LISTED",
    "ArraySource",
    "CodedIndex",
    "Engine",
    "ExactIndex",
    "ExhaustiveIndex",
    "FolderRecords",
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
    "best_of_passes",
    "by_words_and_vectors",
    "choose_index",
    "halves",
    "index_for",
    "join_candidates",
]

__getattr__ = imported_late(
    __name__,
    {
        "candidates": "CANDIDATES, LISTED, best_of_passes, by_words_and_vectors, halves, join_candidates",
        "coded": "CodedIndex",
        "exact": "ExactIndex",
        "hamming": "HammingIndex",
        "hnsw": "HNSWIndex",
        "hnsw_settings": "HNSW_SIMILARITIES, HNSWSettings",
        "inverted": "InvertedFile",
        "multi_vector": "MultiVectorIndex",
        "protocol": "Engine, ExhaustiveIndex, Index, Queries, RowSource",
        "records": "FolderRecords",
        "snapshot": "SnapshotIndex, SnapshotPolicy",
        "source": "ArraySource",
        "synced": "SyncedIndex",
        "synced_rows": "SyncedRows",
        "synced_words": "SyncedWords",
        "table": "INDEXES, IndexEntry, IndexSettings, choose_index, index_for",
    },
)
