"""The store: the persistent data of a library.

Images, their state, their vectors and regions, tags, metadata and runs are stored here, and each change as a whole or
not at all. Whatever else belongs to a library, the search index above all, is derived from here and can be made again.
"""

from kindred.store.filters import Condition, parse_value, parse_where
from kindred.store.protocol import Store
from kindred.store.records import (
    Box,
    Counts,
    Entry,
    FileStamp,
    Filter,
    Key,
    Known,
    Root,
    Row,
    RowBatch,
    Run,
    Skip,
    Value,
    VisualWords,
    WordBatch,
    is_uid,
)
from kindred.store.sqlite import FORMAT, SqliteStore
from kindred.store.table import STORES, StoreEntry

__all__ = [
    "FORMAT",
    "STORES",
    "Box",
    "Condition",
    "Counts",
    "Entry",
    "FileStamp",
    "Filter",
    "Key",
    "Known",
    "Root",
    "Row",
    "RowBatch",
    "Run",
    "Skip",
    "SqliteStore",
    "Store",
    "StoreEntry",
    "Value",
    "VisualWords",
    "WordBatch",
    "is_uid",
    "parse_value",
    "parse_where",
]
