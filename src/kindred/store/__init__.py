"""The store: the persistent data of a library.

It contains the images, their state, vectors and regions, tags, metadata and runs; each change is atomic. Everything
else in a library, such as the search index, is derived from it and can be rebuilt.
"""

from kindred.store.filters import Condition, parse_value, parse_where
from kindred.store.listing import SORTS, Listed, Order, Position, Sort, position_from, position_text
from kindred.store.postgres import PostgresUrl
from kindred.store.protocol import FileStore, Store
from kindred.store.queue import QueuedFile, SharesWork, WorkQueue
from kindred.store.records import (
    Box,
    Counts,
    Entry,
    FileStamp,
    Filter,
    Key,
    Known,
    Outlines,
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
from kindred.store.saved import SavedSearch
from kindred.store.sqlite import FORMAT, SqliteStore
from kindred.store.table import STORES, Place, StoreEntry, place_of, store_of

__all__ = [
    "FORMAT",
    "SORTS",
    "STORES",
    "Box",
    "Condition",
    "Counts",
    "Entry",
    "FileStamp",
    "FileStore",
    "Filter",
    "Key",
    "Known",
    "Listed",
    "Order",
    "Outlines",
    "Place",
    "Position",
    "PostgresUrl",
    "QueuedFile",
    "Root",
    "Row",
    "RowBatch",
    "Run",
    "SavedSearch",
    "SharesWork",
    "Skip",
    "Sort",
    "SqliteStore",
    "Store",
    "StoreEntry",
    "Value",
    "VisualWords",
    "WordBatch",
    "WorkQueue",
    "is_uid",
    "parse_value",
    "parse_where",
    "place_of",
    "position_from",
    "position_text",
    "store_of",
]
