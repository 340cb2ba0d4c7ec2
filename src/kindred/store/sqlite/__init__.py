"""A store in a single SQLite file.

One process writes at a time, for the duration of one change; any number of others read and see each committed change.
Committed changes survive a crash or `kill -9` of the process. SQLite's write-ahead log needs shared memory, so all
processes that use a library at the same time must run on one machine; on a network share, only one machine at a time.
"""

from kindred.store.sqlite.schema import FORMAT
from kindred.store.sqlite.store import SqliteStore

__all__ = ["FORMAT", "SqliteStore"]
