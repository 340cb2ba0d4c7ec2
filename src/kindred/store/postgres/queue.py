"""PostgresQueue: the files that several processes describe together, in two tables beside those of the library.

A process takes files by `FOR UPDATE SKIP LOCKED`, so that none waits for another, and renews one row of `workers`
instead of one for each file. Only `put` takes the lock of changes. The other calls may be repeated after a lost
connection, with the same effect, except that `take` may lease files whose names never arrive; `keep_only` returns
those.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kindred._support.remote_path import remote_path
from kindred._support.retries import BATCH_TRIES
from kindred._support.version import __version__
from kindred.store.entries import signed, unsigned
from kindred.store.keys import folder_range, path_key
from kindred.store.postgres import writing
from kindred.store.postgres.bounds import cut
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import Database, fetch
from kindred.store.queue import QueuedFile, ScanState
from kindred.store.records import Entry

__all__ = ["PostgresQueue"]

COLUMNS = {
    "path": "bytea",
    "size": "int8",
    "mtime_ns": "int8",
    "device": "int8",
    "inode": "int8",
    "volume": "int8",
    "digest": "bytea",
}
GIVEN = ", ".join(f"%s::{kind}[]" for kind in COLUMNS.values())

RENEW = """
    INSERT INTO workers (id, until, since) VALUES (%(me)s, now() + %(lease)s::interval, now())
    ON CONFLICT (id) DO UPDATE SET until = excluded.until,
        since = CASE WHEN workers.until < now() THEN now() ELSE workers.since END
"""
LOST = """
    DELETE FROM workers WHERE until < now() AND EXISTS (
        SELECT 1 FROM workers AS own WHERE own.id = %(me)s AND own.since < now() - %(lease)s::interval)
"""
"""A process that could not reach the server itself for a whole lease does not count others as lost."""
FREE = """
    WITH freed AS MATERIALIZED (
        SELECT path FROM queue WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM workers)
        ORDER BY path FOR UPDATE SKIP LOCKED)
    UPDATE queue SET worker = NULL, lost = lost + 1 FROM freed WHERE queue.path = freed.path
"""
ADD = f"""
    INSERT INTO queue ({", ".join(COLUMNS)}) SELECT * FROM unnest({GIVEN})
    ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, device = excluded.device,
        inode = excluded.inode, volume = excluded.volume, digest = excluded.digest, worker = NULL, lost = 0
    WHERE (queue.size, queue.mtime_ns, queue.digest)
        IS DISTINCT FROM (excluded.size, excluded.mtime_ns, excluded.digest)
"""
TAKE = """
    WITH chosen AS MATERIALIZED (
        SELECT path FROM queue WHERE worker IS NULL AND {which} AND ({where})
        ORDER BY path LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE queue SET worker = %s FROM chosen
    WHERE queue.path = chosen.path AND EXISTS (SELECT 1 FROM workers WHERE id = %s)
    RETURNING {columns}, lost
"""
REMOVE = f"""
    WITH done AS MATERIALIZED (
        SELECT queue.path FROM queue JOIN unnest({GIVEN}) AS n ({", ".join(COLUMNS)}) USING (path)
        WHERE (queue.size, queue.mtime_ns, queue.digest) IS NOT DISTINCT FROM (n.size, n.mtime_ns, n.digest)
        ORDER BY path FOR UPDATE OF queue)
    DELETE FROM queue USING done WHERE queue.path = done.path
"""
"""A file that has changed since it was leased stays, to be described again."""
BEGIN_SCAN = """
    INSERT INTO scans (key, number, worker) VALUES (%(key)s, 1, %(me)s)
    ON CONFLICT (key) DO UPDATE SET worker = excluded.worker, number = scans.number + scans.finished::int,
        finished = false, found = 0
    WHERE scans.finished OR scans.worker = excluded.worker OR NOT EXISTS (
        SELECT 1 FROM workers WHERE id = scans.worker AND until > now())
    RETURNING number
"""
SCAN_STATE = """
    SELECT number, finished, EXISTS (SELECT 1 FROM workers WHERE id = scans.worker AND until > now()), found
    FROM scans WHERE key = %s
"""


class PostgresQueue:
    """The queue of one library as one process uses it; thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._me, self._seconds = uuid.uuid4(), 0.0

    def join(self, *, seconds: float) -> None:
        """Begin to take part, with leases that last `seconds`."""
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Renew the leases of this process, and free the files of processes that were lost."""
        values = {"me": self._me, "lease": f"{self._seconds} seconds"}

        def renew(connection: TimedConnection) -> None:
            connection.execute(RENEW, values)
            connection.execute(LOST, values)
            connection.execute(FREE)

        self._database.read(renew)

    def leave(self) -> None:
        """Return what is leased, to be described by others; nothing counts as lost."""

        def leave(connection: TimedConnection) -> None:
            with connection.transaction():
                self._return(connection, [])
                fetch(connection, "DELETE FROM workers WHERE id = %s", (self._me,))

        self._database.read(leave)

    def begin_scan(self, key: bytes) -> bool:
        """Return whether this process is to search the folders named by `key`."""
        values = {"key": key, "me": self._me}
        return bool(self._database.read(lambda connection: connection.execute(BEGIN_SCAN, values).fetchall()))

    def end_scan(self, key: bytes) -> None:
        """Record that all files of the folders are in the queue."""
        self._database.rows("UPDATE scans SET finished = true WHERE key = %s AND worker = %s", (key, self._me))

    def scan_state(self, key: bytes) -> ScanState:
        """Return how far the last search is."""
        found = self._database.rows(SCAN_STATE, (key,))
        return ScanState(*found[0]) if found else ScanState(0, finished=False, alive=False, found=0)

    def add(self, key: bytes, files: Sequence[QueuedFile], *, found: int) -> None:
        """Add files to be described, and the number of files found so far."""
        columns = _columns(sorted(files, key=lambda file: path_key(file.path)))

        def add(connection: TimedConnection) -> None:
            with connection.transaction():
                fetch(connection, ADD, columns)
                statement = "UPDATE scans SET found = %s WHERE key = %s AND worker = %s"
                fetch(connection, statement, (found, key, self._me))

        self._database.read(add)

    def take(self, roots: Sequence[Path], limit: int) -> list[QueuedFile]:
        """Lease up to `limit` files that wait in `roots` and may share a batch."""
        return self._take(f"lost < {BATCH_TRIES}", roots, limit)

    def take_suspect(self, roots: Sequence[Path]) -> QueuedFile | None:
        """Lease one file that has to be described alone."""
        return next(iter(self._take(f"lost >= {BATCH_TRIES}", roots, 1)), None)

    def _take(self, which: str, roots: Sequence[Path], limit: int) -> list[QueuedFile]:
        where, values = _inside(roots)
        statement = TAKE.format(which=which, where=where, columns=cut(", ".join(f"queue.{name}" for name in COLUMNS)))
        rows = self._database.rows(statement, (*values, limit, self._me, self._me))
        return [_file(row) for row in sorted(rows, key=lambda row: row[0])]

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Return files that this process has leased, but for `paths`."""
        kept = [path_key(path) for path in paths]
        self._database.read(lambda connection: self._return(connection, kept))

    def _return(self, connection: TimedConnection, kept: list[bytes]) -> None:
        fetch(connection, "UPDATE queue SET worker = NULL WHERE worker = %s AND path <> ALL(%s)", (self._me, kept))

    def count(self, roots: Sequence[Path]) -> int:
        """Count the files in `roots` that wait or are leased."""
        where, values = _inside(roots)
        return int(self._database.rows(f"SELECT count(*) FROM queue WHERE {where}", values)[0][0])

    def put(self, entries: Sequence[Entry], done: Sequence[QueuedFile]) -> None:
        """Store entries and remove files from the queue, in one change."""
        ready, columns = writing.prepared(entries, __version__), _columns(done)

        def put(connection: TimedConnection) -> None:
            if ready:
                writing.put_prepared(connection, ready)
            fetch(connection, REMOVE, columns)

        self._database.change(put)


def _inside(roots: Sequence[Path]) -> tuple[str, list[bytes]]:
    """Return the condition that a path is one of `roots` or below it, and its values."""
    values = [value for root in roots for value in (path_key(root), *folder_range(root))]
    return " OR ".join(["(path = %s OR (path > %s AND path < %s))"] * len(roots)), values


def _columns(files: Sequence[QueuedFile]) -> list[list[Any]]:
    rows = [
        (
            path_key(each.path),
            each.size,
            each.mtime_ns,
            *map(signed, (each.device, each.inode, each.volume)),
            each.digest,
        )
        for each in files
    ]
    return [[row[at] for row in rows] for at in range(len(COLUMNS))]


def _file(row: tuple[Any, ...]) -> QueuedFile:
    path, size, mtime_ns, device, inode, volume, digest, lost = row
    where = {"device": unsigned(device), "inode": unsigned(inode), "volume": unsigned(volume)}
    text = os.fsdecode(path)
    return QueuedFile(remote_path(text) or Path(text), size, mtime_ns, digest=digest, lost=lost, **where)
