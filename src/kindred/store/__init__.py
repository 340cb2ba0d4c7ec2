"""The store: the SQLite file that is the truth about a library.

Images, their state, their vectors and regions, tags and runs are rows written in transactions. Whatever
else a library keeps, the search index above all, is derived from here and can be made again.

One process writes, any number read beside it and see each committed batch. What was committed survives a
crash or `kill -9` of the process. SQLite's write-ahead log needs shared memory, so the processes that use a
library at the same time must run on one machine; on a network share, one machine at a time.
"""

from kindred.store.records import Box, Counts, Entry, Filter, Known, Row, Run, Stamp
from kindred.store.schema import FORMAT
from kindred.store.writing import SqliteStore

__all__ = [
    "FORMAT",
    "Box",
    "Counts",
    "Entry",
    "Filter",
    "Known",
    "Row",
    "Run",
    "SqliteStore",
    "Stamp",
]
