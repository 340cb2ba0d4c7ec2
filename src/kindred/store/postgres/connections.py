"""Connections to a server: each call has a deadline, idle ones are used again, none is shared with a forked child."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from datetime import datetime
from threading import BoundedSemaphore
from typing import Any, NamedTuple, Self
from weakref import WeakSet

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from kindred._support.forks import ForkSafeLock
from kindred.store.postgres.url import PostgresUrl

__all__ = ["Backend", "Pool", "TimedConnection", "vector_bytes"]

CONNECT_SECONDS = 5
LOCK_SECONDS = 30
"""How long a change waits for those of other processes."""
FORGOTTEN_SECONDS = 30
"""After this time the server ends a transaction whose process is silent, and with it the lock that others wait for."""
MOST_IDLE, MOST_OPEN = 4, 16

OPEN = """
    SELECT set_config('search_path', quote_ident(%s) || ', ' || quote_ident(coalesce(
        (SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'vector'),
        'public')) || ', pg_temp', false), pid, backend_start, to_regtype('vector')::oid
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""


class Backend(NamedTuple):
    """The process of the server that serves a connection: its number and the time of its start."""

    pid: int
    start: datetime


class TimedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose calls end at `deadline`, a time of `time.monotonic`, also if the server is frozen."""

    deadline: float | None = None
    backend: Backend | None = None
    vector_type: int | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server; raises OperationalError, and closes the connection, when the deadline has passed."""
        if self.deadline is not None:
            rest = max(0.0, self.deadline - time.monotonic())
            timeout = rest if timeout is None else min(timeout, rest)
        try:
            return super().wait(gen, interval=interval, timeout=timeout)
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError("no answer in time") from None

    def __del__(self, *_: object) -> None:
        """Close a connection of a store that was not closed; psycopg would only warn."""
        with suppress(Exception):
            self.close()

    @classmethod
    def to(cls, url: PostgresUrl, deadline: float) -> Self:
        """Connect to the database of a library."""
        milliseconds = 1000 * url.timeout
        settings = {
            "statement_timeout": milliseconds,
            "lock_timeout": 1000 * LOCK_SECONDS,
            "idle_in_transaction_session_timeout": 1000 * FORGOTTEN_SECONDS,
            "client_min_messages": "error",
        }
        text = psycopg.conninfo.make_conninfo(
            **{
                "connect_timeout": max(2, min(CONNECT_SECONDS, int(deadline - time.monotonic()))),
                "application_name": "kindred",
                "client_encoding": "utf8",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": milliseconds,
                "options": " ".join(f"-c {key}={value}" for key, value in settings.items()),
                **url.parameters(),
            },
        )
        found = cls.connect(text, autocommit=True)
        found.deadline = deadline
        row = found.execute(OPEN, (url.schema,)).fetchone()
        assert row is not None
        found.backend = Backend(row[1], row[2])
        found.teach_vectors(row[3])
        return found

    def teach_vectors(self, number: int | None) -> None:
        """Send float32 arrays as vectors; `number` is that of the type in this database, None if it has none."""
        self.vector_type = number
        if number is not None:
            kind = type("VectorDumper", (_VectorDumper,), {"oid": number})
            self.adapters.register_dumper(np.ndarray, kind)


def vector_bytes(row: NDArray[np.float32]) -> bytes:
    """Return a vector as pgvector's type is sent: the number of components, two unused bytes, and them, big-endian."""
    return len(row).to_bytes(2, "big") + b"\0\0" + row.astype(">f4").tobytes()


class _VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: NDArray[np.float32]) -> Buffer:
        return vector_bytes(obj)


class Pool:
    """The connections of a process to one library. Thread-safe; a forked child opens its own."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._lock = ForkSafeLock()
        self.forget()
        _POOLS.add(self)

    def forget(self) -> None:
        """Forget all connections without closing them."""
        self._idle: list[TimedConnection] = []
        self._used: WeakSet[TimedConnection] = WeakSet()
        self._places = BoundedSemaphore(MOST_OPEN)

    def take(self, deadline: float) -> TimedConnection:
        """Return an idle connection, or a new one; raises OperationalError if none is free before `deadline`."""
        if not self._places.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise psycopg.OperationalError(f"all {MOST_OPEN} connections of this process are in use")
        try:
            with self._lock:
                found = self._idle.pop() if self._idle else None
            if found is None:
                found = TimedConnection.to(self._url, deadline)
        except BaseException:
            self._places.release()
            raise
        found.deadline = deadline
        self._used.add(found)
        return found

    def give(self, connection: TimedConnection) -> None:
        """Take a connection back; one that is closed, or in the middle of something, is closed and forgotten."""
        self._used.discard(connection)
        sound = not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if sound and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                connection = None  # type: ignore[assignment]  # kept
        self._places.release()
        if connection is not None:
            _close(connection)

    def drop(self, connection: TimedConnection) -> None:
        """Close a connection that failed, and the idle ones, which probably failed as well."""
        self._used.discard(connection)
        with self._lock:
            idle, self._idle = self._idle, []
        self._places.release()
        for each in (connection, *idle):
            _close(each)

    def is_foreign(self, connection: TimedConnection) -> bool:
        """Return whether a connection belongs to the parent of this process."""
        return connection not in self._used

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            _close(each)

    def abandon(self) -> None:
        """Give up the connections of the parent in a forked child, so that it never writes to them, even at its end."""
        for each in (*self._idle, *self._used):
            _ABANDONED.append(each)
            with suppress(OSError, psycopg.Error):
                dead, other = socket.socketpair()
                other.close()
                os.dup2(dead.fileno(), each.pgconn.socket)
                dead.close()
        self.forget()


_POOLS: WeakSet[Pool] = WeakSet()
_ABANDONED: list[TimedConnection] = []
"""Connections of a parent process, which must not be closed: closing one ends the parent's session."""


def _close(connection: TimedConnection) -> None:
    with suppress(psycopg.Error):
        connection.close()


def _in_child() -> None:
    for pool in list(_POOLS):
        pool.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
