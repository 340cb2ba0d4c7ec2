"""The database of a library: calls that are repeated after a lost connection, and changes that happen exactly once.

A reading call is repeated until it succeeds or its time is up. A change is one transaction, which first locks the
single row of the table `state`: changes are committed one after the other, and numbers of images, vectors and revisions
ascend in the order of commits, so that a reader that follows them misses nothing. Each change leaves a token. If the
connection is lost while a change is being committed, the token tells the next connection whether it was.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import psycopg

from kindred.errors import LibraryDamaged, LibraryError, LibraryReplaced, LibraryUnreachable, UsageError
from kindred.store.postgres.bounds import cut
from kindred.store.postgres.connections import Backend, Pool, TimedConnection
from kindred.store.postgres.failures import REMEDY, is_passing, is_undefined, translated
from kindred.store.postgres.tables import check_tables
from kindred.store.postgres.url import PostgresUrl

__all__ = ["Database", "Parameters", "fetch"]

READ_PATIENCE = 8.0
"""For how many seconds a reading call is begun again after the server was lost."""
WRITE_PATIENCE = 25.0
"""The same for a change: an indexing run survives a restart of the server."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
OLD_TOKENS = "DELETE FROM changes WHERE at < now() - interval '1 day'"

T = TypeVar("T")
Parameters = Sequence[Any]
Work = Callable[[TimedConnection], T]


def fetch(connection: TimedConnection, sql: str, values: Parameters = ()) -> list[tuple[Any, ...]]:
    """Execute one statement and return its rows."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description is not None else []


class Database:
    """The connections to one library; any number of threads may use it."""

    def __init__(self, url: PostgresUrl) -> None:
        self.url = url
        self._pool = Pool(url)
        self._local = threading.local()
        self._closed = False
        self.uuid: str | None = None
        """That of the library when it was opened; None until then."""

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._closed = True
        self._pool.close()

    def rows(self, sql: str, values: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement that reads."""
        return self.read(lambda connection: fetch(connection, sql, values))

    def read(self, work: Work[T], *, patience: float | None = None, seconds: float | None = None) -> T:
        """Return what `work` returns, which reads only; it is called again if the connection is lost.

        Within a transaction of this thread, it sees the changes made so far. seconds: its limit, if not the usual one.
        """
        self._check_open()
        own = self._own()
        if own is not None:
            own.deadline = time.monotonic() + self.url.timeout
            with self._reported():
                return work(own)
        limit = self.url.timeout if seconds is None else seconds
        return self._repeated(
            lambda connection, _: work(connection), READ_PATIENCE if patience is None else patience, limit
        )

    def change(self, work: Work[T]) -> T:
        """Return what `work` returns, which changes the library: all of it is committed exactly once, or nothing."""
        self._check_open()
        own = self._own()
        if own is not None:
            own.deadline = time.monotonic() + self.url.timeout
            with self._reported():
                return work(own)
        token, done = uuid.uuid4(), list[T]()

        def attempt(connection: TimedConnection, lost: Backend | None) -> T:
            with connection.transaction():
                self._lock(connection, lost)
                if done and _is_committed(connection, token):
                    return done[0]
                done[:] = [work(connection)]
                _leave_token(connection, token)
            return done[0]

        return self._repeated(attempt, WRITE_PATIENCE, self.url.timeout + WRITE_PATIENCE)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group the changes of this thread into one transaction, committed at the end or rolled back by an exception.

        They cannot be repeated by themselves: if the server is lost meanwhile, LibraryUnreachable says that nothing was
        stored. Nested groups join.
        """
        self._check_open()
        if self._own() is not None:
            yield
            return
        with self._reported():
            connection, token = self._begun(), uuid.uuid4()
        self._local.connection = connection
        failed = True
        try:
            yield
            with self._reported():
                connection.deadline = time.monotonic() + self.url.timeout
                _leave_token(connection, token)
            failed = False
        finally:
            del self._local.connection
            if failed:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                self._pool.give(connection)
        self._commit(connection, token)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Translate errors of PostgreSQL raised within the block."""
        try:
            yield
        except psycopg.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: psycopg.Error) -> Exception:
        """Return the Kindred error for `error`: of a table that does not exist, whether the library does."""
        if is_undefined(error):
            deadline = time.monotonic() + self.url.timeout
            with suppress(psycopg.Error), closing(TimedConnection.to(self.url, deadline)) as connection:
                try:
                    check_tables(connection, self.url)
                except LibraryError as found:
                    return found
        return translated(error, self.url)

    def _own(self) -> TimedConnection | None:
        """Return the connection of this thread's transaction; in a forked child it belongs to the parent."""
        own: TimedConnection | None = getattr(self._local, "connection", None)
        return None if own is None or self._pool.is_foreign(own) else own

    def _begun(self) -> TimedConnection:
        """Return a connection in a transaction that holds the lock of changes."""

        def begin(connection: TimedConnection, _: Backend | None) -> TimedConnection:
            connection.execute("BEGIN")
            self._lock(connection, None)
            return connection

        return self._repeated(begin, WRITE_PATIENCE, self.url.timeout + WRITE_PATIENCE, keep=True)

    def _commit(self, connection: TimedConnection, token: uuid.UUID) -> None:
        """Commit a group; if the connection is lost meanwhile, find out whether it was committed."""
        lost = connection.backend
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            self._pool.drop(connection)
            if not is_passing(error):
                raise self._translated(error) from error
        else:
            self._pool.give(connection)
            return

        def look(other: TimedConnection, _: Backend | None) -> bool:
            with other.transaction():
                self._lock(other, lost)
                return _is_committed(other, token)

        if not self._repeated(look, WRITE_PATIENCE, self.url.timeout + WRITE_PATIENCE):
            raise LibraryUnreachable(
                f"{self.url}: its server was lost during a change, of which nothing was stored; try again"
            )

    def _repeated(
        self,
        attempt: Callable[[TimedConnection, Backend | None], T],
        patience: float,
        seconds: float,
        *,
        keep: bool = False,
    ) -> T:
        """Call `attempt` with a connection, and again after an error that passes; give it the session that was lost."""
        began, pause, lost = time.monotonic(), FIRST_PAUSE, None
        while True:
            connection = None
            try:
                connection = self._pool.take(began + seconds)
                found = attempt(connection, lost)
            except psycopg.Error as error:
                if connection is not None:
                    lost = connection.backend
                    self._pool.drop(connection)
                if not is_passing(error) or time.monotonic() + pause > began + patience:
                    raise self._translated(error) from error
                time.sleep(pause * (0.5 + random.random()))
                pause = min(2 * pause, LONGEST_PAUSE)
            except BaseException:
                if connection is not None:
                    self._pool.give(connection)
                raise
            else:
                if not keep:
                    self._pool.give(connection)
                return found

    def _lock(self, connection: TimedConnection, lost: Backend | None) -> None:
        """Lock the library for a change; first end the session of an earlier attempt, which may still hold the lock."""
        if lost is not None:
            fetch(
                connection,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
                lost,
            )
        found = fetch(connection, f"SELECT {cut('uuid')} FROM state FOR UPDATE")
        if not found:
            raise LibraryDamaged(f"{self.url}: is damaged (its table state is empty); {REMEDY}")
        self.check_same(found[0][0])

    def check_same(self, found: str) -> None:
        """Raise LibraryReplaced if the library is no longer the one that was opened."""
        if self.uuid not in (None, found):
            raise LibraryReplaced(f"{self.url}: was deleted and created again while in use; open the library again")

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self.url}: this library is closed; open it again")


def _leave_token(connection: TimedConnection, token: uuid.UUID) -> None:
    fetch(connection, "INSERT INTO changes (token) VALUES (%s)", (token,))
    if random.random() < 0.01:
        fetch(connection, OLD_TOKENS)


def _is_committed(connection: TimedConnection, token: uuid.UUID) -> bool:
    return bool(fetch(connection, "SELECT 1 FROM changes WHERE token = %s", (token,)))
