"""A Milvus server: what an index needs of it, and calls that are repeated while it is away, each within a limit.

Rows are only ever upserted: a key that is inserted twice makes searches return fewer results than they were asked for.
Searches are at consistency Bounded, which may miss the changes of the last seconds; the index does not depend on them.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock, ProcessMark
from kindred.arrays import Vectors
from kindred.errors import KindredError, LibraryError, LibraryUnreachable, MissingExtra, UsageError
from kindred.index.milvus.failures import TOKEN, CollectionGone, is_lost, translated
from kindred.index.milvus.kinds import KINDS
from kindred.index.milvus.record import IndexRecord
from kindred.index.milvus.url import MilvusUrl

if TYPE_CHECKING:
    from pymilvus import MilvusClient

__all__ = ["MilvusServer"]

OLDEST = (2, 3)
"""Older servers have no `upsert`."""
EMBEDDED = ("hnsw", "ivf")
"""The kinds that Milvus Lite has."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds between the tries of a call: twice as many each time."""
CHANGE_SECONDS = 120.0
"""What a call may take that changes a collection, or reads which there are."""
READY_SECONDS = 600.0
"""How long the server may take until it answers the first search of an index."""
UNLOADED = 101
"""The code of a collection that is not in memory, as after a restart of some servers."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class MilvusServer:
    """The server at an address. Thread-safe; it is connected to at the first call, and again after a fork."""

    def __init__(self, url: MilvusUrl) -> None:
        self.url = url
        self._lock = ForkSafeLock()
        self._connected: MilvusClient | None = None
        self._mark = ProcessMark()
        self._together = threading.local()  # `end`: when the calls of a block must have ended, by time.monotonic
        self._version = ""

    @property
    def version(self) -> str:
        """The version of the server. Raises LibraryError if it is too old."""
        if not self._version:
            found = self._call(lambda client, limit: client.get_server_version(timeout=limit))
            numbers = _numbers(found)
            if numbers < OLDEST:
                raise LibraryError(f"{self.url}: is Milvus {found[:40]}; expected 2.3 or newer: have it updated")
            self._version = found
        return self._version

    def check_kind(self, kind: str) -> None:
        """Raise UsageError if the server does not have this kind of index; some versions ignore what they lack."""
        embedded, entry = "milvus_lite" in self.version, KINDS[kind]
        if embedded and kind not in EMBEDDED:
            raise UsageError(f"{self.url}: is Milvus Lite, which has no index {kind!r}; use {' or '.join(EMBEDDED)}")
        if not embedded and _numbers(self.version) < entry.since:
            needed = ".".join(map(str, entry.since))
            raise UsageError(f"{self.url}: is Milvus {self.version}; index {kind!r} needs {needed} or newer")

    def collections(self, prefix: str) -> list[str]:
        """Return the names of the collections that begin with `prefix`."""
        found: list[str] = self._call(lambda client, limit: client.list_collections(timeout=limit))
        return [name for name in found if name.startswith(prefix)]

    def create(self, record: IndexRecord) -> None:
        """Create an empty collection with an index of its vectors, for a record."""
        from pymilvus import DataType

        kind = KINDS[record.kind]

        def create(client: MilvusClient, limit: float) -> None:
            if client.has_collection(record.collection, timeout=limit):
                return
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=record.dimension)
            client.create_collection(record.collection, schema=schema, consistency_level="Bounded", timeout=limit)

        def index(client: MilvusClient, limit: float) -> None:
            parameters = client.prepare_index_params()
            parameters.add_index(
                "vector",
                index_type=kind.type,
                metric_type=_metric(record),
                params=dict(kind.building(record.dimension)),
            )
            client.create_index(record.collection, parameters, timeout=limit, sync=False)

        self._call(create, CHANGE_SECONDS)
        self._call(index, CHANGE_SECONDS)

    def upsert(self, collection: str, ids: NDArray[np.int64], rows: Vectors) -> None:
        """Store rows (n, D) under ids (n,), in place of those there."""
        data = [{"id": number, "vector": row} for number, row in zip(ids.tolist(), rows, strict=True)]
        self._call(lambda client, limit: client.upsert(collection, data, timeout=limit), CHANGE_SECONDS)

    def delete(self, collection: str, ids: NDArray[np.int64]) -> None:
        """Delete the rows with ids (n,)."""
        self._call(lambda client, limit: client.delete(collection, ids=ids.tolist(), timeout=limit), CHANGE_SECONDS)

    def tokens(self, collection: str, *, strong: bool = False) -> list[int]:
        """Return the ids below 0, which mark the states of a collection; `strong`: also those of the last seconds."""
        level = "Strong" if strong else "Bounded"

        def query(client: MilvusClient, limit: float) -> list[int]:
            with _loaded(client, collection, limit):
                found = client.query(
                    collection,
                    filter="id < 0",
                    output_fields=["id"],
                    limit=1000,
                    consistency_level=level,
                    timeout=limit,
                )
            return [int(each["id"]) for each in found]

        return self._call(query)

    def rows(self, collection: str) -> int:
        """Return the number of rows, tokens included, with all changes that the server has acknowledged."""

        def count(client: MilvusClient, limit: float) -> int:
            with _loaded(client, collection, limit):
                found = client.query(
                    collection, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=limit
                )
            return int(found[0]["count(*)"])

        return self._call(count)

    def holds(self, record: IndexRecord) -> bool:
        """Return whether the server has the index of a record, in the state that the record is of."""
        with suppress(CollectionGone):
            return any(record.token in self.tokens(record.collection, strong=strong) for strong in (False, True))
        return False

    def flush(self, collection: str) -> None:
        """Have all rows written to segments, which the server then indexes."""
        self._call(lambda client, limit: client.flush(collection, timeout=limit), CHANGE_SECONDS)

    def pending(self, collection: str) -> int:
        """Return how many rows of the collection have not been indexed yet.

        A server merges small segments again and again, and indexes them anew; meanwhile it searches by the indexes of
        those that were merged. Rows that are pending for that reason alone do not count (milvus#24562).
        """

        def describe(client: MilvusClient, limit: float) -> int:
            found = client.describe_index(collection, "vector", timeout=limit) or {}
            total, indexed, pending = (
                int(found.get(f"{name}_rows", 0)) for name in ("total", "indexed", "pending_index")
            )
            return 0 if 0 < total <= indexed else pending

        return self._call(describe, CHANGE_SECONDS)

    def load(self, record: IndexRecord) -> None:
        """Have a collection loaded, and wait until it answers a search: only then is it ready."""
        self._call(lambda client, limit: client.load_collection(record.collection, timeout=limit), READY_SECONDS)
        probe = np.zeros((1, record.dimension), np.float32)
        probe[0, 0] = 1
        self._call(lambda client, limit: _search(client, record, probe, 1, "", limit), READY_SECONDS)

    def drop(self, collection: str) -> None:
        """Delete a collection, if it exists."""
        with suppress(CollectionGone):
            self._call(lambda client, limit: client.drop_collection(collection, timeout=limit), CHANGE_SECONDS)

    def search(self, record: IndexRecord, queries: Vectors, limit: int, expression: str) -> NDArray[np.int64]:
        """Return the ids (Q, limit) of rows near queries (Q, D), best first, padded with −1.

        Raises CollectionGone if it does not exist, and LibraryUnreachable if the server does not answer in time.
        """
        return self._call(lambda client, seconds: _search(client, record, queries, limit, expression, seconds))

    @contextmanager
    def one_timeout(self) -> Iterator[None]:
        """Give all calls of this thread in the block one timeout together, but for those that have limits of their own.

        A block within another has that of the outer one.
        """
        if getattr(self._together, "end", None) is not None:
            yield
            return
        self._together.end = time.monotonic() + self.url.timeout
        try:
            yield
        finally:
            self._together.end = None

    def _client(self, limit: float) -> MilvusClient:
        with self._lock:
            if self._connected is None or self._mark.inherited:
                self._mark = ProcessMark()
                self._connected = _connected(self.url, limit)
            return self._connected

    def _disconnect(self) -> None:
        """Close the connection: the next call makes another one."""
        with self._lock:
            client, self._connected = self._connected, None
        if client is not None:
            with suppress(Exception):  # whatever a broken connection raises
                client.close()

    def _call(self, action: Callable[[MilvusClient, float], T], seconds: float | None = None) -> T:
        """Return the result of an action, which gets a connection and the seconds left; tried again until it succeeds.

        seconds: that all tries may take, by default the timeout of the address, or what is left of that of a block.
        """
        allowed = float(self.url.timeout) if seconds is None else max(seconds, float(self.url.timeout))
        end, wait = time.monotonic() + allowed, FIRST_WAIT
        if seconds is None and (together := getattr(self._together, "end", None)) is not None:
            end = min(end, together)
        while True:
            try:
                client = self._client(min(_left(end), self.url.timeout))
                return action(client, _left(end))  # without what connecting took
            except KindredError:
                raise
            except Exception as error:
                failure = translated(error, self.url, allowed)
                if failure is None:
                    raise
                if is_lost(error):
                    self._disconnect()
                if not isinstance(failure, LibraryUnreachable) or time.monotonic() + wait >= end:
                    raise failure from error
            time.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LONGEST_WAIT)


def _left(end: float) -> float:
    return max(0.1, end - time.monotonic())


def _connected(url: MilvusUrl, limit: float) -> MilvusClient:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else gRPC prints what it thinks of a connection on stderr
    try:
        from pymilvus import MilvusClient
    except ImportError:
        raise MissingExtra("an index in Milvus", "milvus") from None
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints a traceback of each error that it raises
    client = MilvusClient(
        url.uri,
        user=url.user or "",
        password=url.password or "",
        token="" if url.password else os.environ.get(TOKEN, ""),
        db_name="" if url.database == "default" else url.database,
        timeout=limit / 2,  # of a try, which may begin when the time of all is nearly over
        dedicated=True,
        # By default gRPC waits for up to two minutes before it connects again.
        grpc_options={"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000},
    )
    _repeat_nothing(client)
    return client


def _repeat_nothing(client: MilvusClient) -> None:
    """Have the client raise lost connections at once, which it would repair and repeat, up to twice the time given.

    It calls this hook before it does; a version without it repeats.
    """

    def raised(error: Exception) -> bool:
        raise error

    handler = getattr(client, "_handler", None)
    if handler is not None:
        handler._on_rpc_error = raised


@contextmanager
def _loaded(client: MilvusClient, collection: str, limit: float) -> Iterator[None]:
    """Have a collection loaded that turns out not to be, so that the call succeeds when it is tried again."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        if error.code == UNLOADED:
            client.load_collection(collection, timeout=limit)
        raise


def _search(
    client: MilvusClient, record: IndexRecord, queries: Vectors, limit: int, expression: str, seconds: float
) -> NDArray[np.int64]:
    with _loaded(client, record.collection, seconds):
        found = client.search(
            record.collection,
            data=list(queries),
            filter=expression,
            limit=limit,
            anns_field="vector",
            search_params={"metric_type": _metric(record), "params": dict(KINDS[record.kind].searching(limit))},
            consistency_level="Bounded",
            timeout=seconds,
        )
    ids = np.full((len(queries), limit), -1, np.int64)
    for row, hits in enumerate(found):
        numbers = [hit["id"] for hit in hits]
        ids[row, : len(numbers)] = numbers[:limit]
    return ids


def _metric(record: IndexRecord) -> str:
    """Return Milvus's name of the similarity; for cosine, rows and queries have unit length."""
    return "L2" if record.similarity == "euclidean" else "IP"


def _numbers(version: str) -> tuple[int, int]:
    found = re.search(r"(\d{1,4})\.(\d{1,4})", version[:100])
    return (int(found[1]), int(found[2])) if found else (0, 0)
