"""A store in one SQLite file.

One process writes at a time, each for as long as one change takes; any number read beside it and see each committed
change. What was committed survives a crash or `kill -9` of the process. SQLite's write-ahead log needs shared memory,
so the processes that use a library at the same time must run on one machine; on a network share, one machine at a time.
"""

from kindred.store.sqlite.schema import FORMAT
from kindred.store.sqlite.store import SqliteStore

__all__ = ["FORMAT", "SqliteStore"]
