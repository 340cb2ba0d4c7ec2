"""Building an index in Milvus from the store, and bringing it up to date.

A new index is a new collection, so that searches go on with the previous one until the store records the new one. The
record changes last: whatever is interrupted before leaves what was recorded, and is done again by the next run.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import LibraryError, UsageError
from kindred.hints import check_known
from kindred.index.milvus.kinds import DEFAULT_KIND, KINDS
from kindred.index.milvus.record import IndexRecord, key_of
from kindred.index.milvus.server import MilvusServer
from kindred.store import Store

__all__ = ["SETTLING_SECONDS", "SIMILARITIES", "BuildReport", "build_index"]

SIMILARITIES = ("cosine", "dot", "euclidean")
MOST_COMPONENTS = 32_768
BYTES = 1 << 22
"""Of vectors per call; servers take messages of some tens of megabytes."""
DELETED = 5_000
"""Ids per call."""
STORING, INDEXING = "Storing", "Indexing"
"""What `progress` is called with."""
SETTLING_SECONDS = 6.0
"""A search at consistency Bounded sees everything that is older than 5 seconds."""
POLL_SECONDS = 0.5
STALLED_SECONDS = 1200.0
"""How long indexing one segment of some 100,000 vectors may take. A server without DiskANN tries again for ever."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildReport:
    """What was done: vectors in the index, and how many of them were added and removed.

    created: whether it is a new index. kind: of KINDS. server: the version of Milvus.
    """

    vectors: int
    added: int
    removed: int
    created: bool
    kind: str
    server: str
    seconds: float = 0.0


def build_index(
    store: Store,
    server: MilvusServer,
    record: IndexRecord | None,
    *,
    kind: str | None,
    dimension: int,
    similarity: str,
    progress: Callable[[str, int, int], None] | None = None,
) -> BuildReport:
    """Bring the index of `record` up to date; without one, or for another kind, build a new one.

    Raises UsageError if the server or the library cannot have it, LibraryError if another process builds it as well.
    """
    began = time.monotonic()
    if kind is not None:
        check_known("kind of index", kind, KINDS, error=UsageError)
    if not store.writable:
        raise LibraryError(f"{server.url}: the library is read-only, so that its index cannot be recorded")
    if dimension > MOST_COMPONENTS:
        raise UsageError(f"{server.url}: got vectors of {dimension:,} components; Milvus takes {MOST_COMPONENTS:,}")
    chosen = kind or (record.kind if record is not None else DEFAULT_KIND)
    server.check_kind(chosen)
    if record is not None and record.kind != chosen:
        record = None
    build = _Build(store, server, progress or _silent)
    report = None if record is None else build.renewed(record)
    if report is None:
        report = build.anew(chosen, dimension, similarity)
    return replace(report, seconds=time.monotonic() - began)


class _Build:
    """One run. The record that was there when it began must still be there when it ends."""

    def __init__(self, store: Store, server: MilvusServer, progress: Callable[[str, int, int], None]) -> None:
        self._store, self._server, self._progress = store, server, progress
        self._key = key_of(server.url.collection)
        self._before = store.meta.get(self._key, "")
        owner = hashlib.sha256(store.meta.get("uuid", "").encode()).hexdigest()[:8]
        self._prefix = f"{server.url.collection}_{owner}_"

    def anew(self, kind: str, dimension: int, similarity: str) -> BuildReport:
        """Fill a new collection, record it, and delete the previous ones of this library.

        Their names have a part that is the library's own, so that those of other libraries are left alone.
        """
        previous = self._server.collections(self._prefix)
        revision = self._store.vectors_revision
        name = f"{self._prefix}{secrets.token_hex(4)}"
        record = IndexRecord(name, _new_token(), kind, dimension, similarity, 0, 0, revision)
        self._server.create(record)
        try:
            last, added = self._upsert(record, total=self._store.counts().vectors)
            record = replace(record, last_id=last, count=self._stored(last))
            self._mark(record)
            self._server.flush(name)
            self._wait_until_indexed(record)
            self._server.load(record)
            self._settle()
            lost = self._lost(record, self._server.tokens(name, strong=True))
            if lost:
                raise LibraryError(
                    f"{self._server.url}: its server has lost {lost:,} of {record.count:,} vectors that it had "
                    "acknowledged; look into its log, then try again"
                )
            self._record(record)
        except BaseException:
            self._abandon(name)
            raise
        for each in previous:
            self._server.drop(each)
        return BuildReport(record.count, added, 0, created=True, kind=kind, server=self._server.version)

    def renewed(self, record: IndexRecord) -> BuildReport | None:
        """Add what was stored since a record and remove what was removed; None if the server has lost vectors."""
        revision = self._store.vectors_revision
        now = replace(record, token=_new_token(), revision=revision)
        self._mark(now)
        last, added = self._upsert(record, total=self._store.counts().vectors - record.count)
        gone = self._store.removed_since(record.revision)
        gone = gone[gone <= max(last, record.last_id)]
        for start in range(0, len(gone), DELETED):
            self._server.delete(record.collection, gone[start : start + DELETED])
        here = int((gone <= record.last_id).sum())
        last = max(last, record.last_id)
        now = replace(now, last_id=last, count=self._stored(last))
        self._server.load(now)
        self._settle()
        tokens = self._server.tokens(record.collection, strong=True)
        lost = self._lost(now, tokens)
        if lost:
            log.warning("%s: has lost %s vectors; a new index is built", self._server.url, f"{lost:,}")
            return None
        self._record(now)
        others = [token for token in tokens if token != now.token]
        if others:
            self._server.delete(record.collection, np.array(others, np.int64))
        return BuildReport(now.count, added, here, created=False, kind=now.kind, server=self._server.version)

    def _lost(self, record: IndexRecord, tokens: Sequence[int]) -> int:
        """Return how many of the vectors of a record the server lacks, as Milvus Lite does after some crashes."""
        return max(0, record.count + len(tokens) - self._server.rows(record.collection))

    def _stored(self, last: int) -> int:
        """Return how many vectors the store has up to an id. Later ones, stored during this run, are few and counted.

        What was removed during this run is among the changes of the next run again, so that sums would drift.
        """
        later = sum(len(ids) for ids, _ in self._store.vectors(after_id=last))
        return max(0, self._store.counts().vectors - later)

    def _upsert(self, record: IndexRecord, *, total: int) -> tuple[int, int]:
        """Store the vectors after those of a record; return the last id and how many there were."""
        last = done = 0
        batch = max(1, BYTES // (4 * record.dimension))
        self._progress(STORING, 0, total)
        for ids, rows in self._store.vectors(after_id=record.last_id, batch=batch):
            unit: Vectors = l2_normalise(rows) if record.similarity == "cosine" else rows
            self._server.upsert(record.collection, ids, unit)
            last, done = int(ids[-1]), done + len(ids)
            self._progress(STORING, done, max(done, total))
        return last, done

    def _mark(self, record: IndexRecord) -> None:
        """Store the token of a record, as the id of a row with an arbitrary vector."""
        row = np.zeros((1, record.dimension), np.float32)
        row[0, 0] = 1
        self._server.upsert(record.collection, np.array([record.token], np.int64), row)

    def _wait_until_indexed(self, record: IndexRecord) -> None:
        """Wait for the server to index all rows; raises LibraryError if it goes on for long without any progress."""
        last, since = 0, time.monotonic()
        while pending := self._server.pending(record.collection):
            self._progress(INDEXING, max(0, record.count - pending), record.count)
            if pending != last:
                last, since = pending, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                raise LibraryError(
                    f"{self._server.url}: its server has {pending:,} vectors to index and makes no progress; "
                    "its log says why: it may lack this kind of index, so try another --kind"
                )
            time.sleep(POLL_SECONDS)

    def _settle(self) -> None:
        """Wait until every search sees what was stored."""
        time.sleep(SETTLING_SECONDS)

    def _record(self, record: IndexRecord) -> None:
        """Record an index in the store, unless another process has recorded one meanwhile."""
        with self._store.writing():
            if self._store.meta.get(self._key, "") != self._before:
                raise LibraryError(f"{self._server.url}: another process has built the index; nothing more is needed")
            self._store.set_meta(self._key, record.text())

    def _abandon(self, collection: str) -> None:
        """Delete a collection that was not recorded, as far as the server answers; the next build tries again."""
        with suppress(Exception):
            self._server.drop(collection)


def _new_token() -> int:
    return -1 - secrets.randbelow((1 << 62) - 2)


def _silent(phase: str, done: int, total: int) -> None:
    """Report no progress."""
