"""RecordedIndex: an index on a server that follows the record of its store, and is built and renewed from the store.

The server holds the vectors of the last `renew` or `build`, up to some id; what was stored later is compared in memory,
and what was removed since is dropped, because only candidates that the store still has are scored. A search therefore
includes all committed changes, whatever the server has seen of them, and its scores are those of exact search.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kindred._support.forks import ForkSafeLock
from kindred.errors import LibraryDamaged, LibraryError
from kindred.index.milvus.building import BuildReport, build_index
from kindred.index.milvus.failures import CollectionGone
from kindred.index.milvus.record import IndexRecord, key_of
from kindred.index.milvus.server import MilvusServer
from kindred.index.snapshot import SnapshotPolicy
from kindred.store import Store

__all__ = ["RecordedIndex", "State"]

MOST_IN_MEMORY = 2_000_000
"""Vectors that are compared in memory while they are not in the index."""

log = logging.getLogger(__name__)
Later = TypeVar("Later")
T = TypeVar("T")


@dataclass(frozen=True)
class State(Generic[Later]):
    """What is searched: the recorded index, if there is one, and what was stored later."""

    record: IndexRecord | None
    later: Later


class RecordedIndex(ABC, Generic[Later]):
    """An index of the vectors of `store` on `server`, with what was stored later in memory, in `Later`. Thread-safe.

    policy: number of vectors from which `renew` builds an index, and of changes from which it brings it up to date.
    Without an index everything is compared in memory.
    """

    def __init__(
        self, store: Store, server: MilvusServer, *, dimension: int, similarity: str, policy: SnapshotPolicy
    ) -> None:
        self.dimension, self.similarity, self.policy = dimension, similarity, policy
        self._store, self._server = store, server
        self._key = key_of(server.url.collection)
        self._state: State[Later] = State(None, self._nothing_later())
        self._recorded: str | None = ""
        self._checked = self._revision = -1  # the revisions of the store and of its vectors at the last sync
        self._count, self._warned = 0, False
        self._lock, self._building = ForkSafeLock(), ForkSafeLock()

    @abstractmethod
    def _nothing_later(self) -> Later:
        """Return an empty engine for what is stored later."""

    @abstractmethod
    def _counted(self) -> int:
        """Return the number of vectors, or of images of several rows, in the store."""

    @abstractmethod
    def _pull(self) -> None:
        """Apply the changes after `_revision` to the engine in memory; −1 the first time after another record.

        They may include changes after the revision that `sync` has read; the next `sync` then repeats them, which is
        harmless.
        """

    def __len__(self) -> int:
        """Return the number of vectors, as of the last `sync`."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of the vectors, most of which are on the server."""
        return 4 * self._count * self.dimension

    @property
    def approximate(self) -> bool:
        """Whether an index is searched, rather than every vector."""
        return self._state.record is not None

    def sync(self) -> None:
        """Apply the changes that any process has committed since the last call; fast if no vectors changed."""
        with self._lock, self._server.one_timeout():
            revision = self._store.revision
            if revision == self._checked:
                return
            self._follow_record()
            vectors = self._store.vectors_revision
            if vectors != self._revision:
                self._count = self._counted()
                self._check_memory()
                self._pull()
            self._revision, self._checked = vectors, revision

    def renew(self) -> None:
        """Build the index if there are enough vectors, or bring it up to date if enough have changed."""
        count, record = self._store.counts().vectors, self._recorded_index()
        if record is None:
            due = count >= self.policy.exact_below
        else:
            removed = len(self._store.removed_since(record.revision))
            changes = count - record.count + 2 * removed  # those removed are missing from the count
            due = changes > max(self.policy.changes, self.policy.tail_share * count)
        if due and self._store.writable:
            self.build()

    def build(
        self, kind: str | None = None, *, rebuild: bool = False, progress: Callable[[str, int, int], None] | None = None
    ) -> BuildReport:
        """Bring the index up to date, or build a new one; searches go on meanwhile.

        kind: of KINDS, if not that of the index there is. rebuild: whether a new one is built in any case.
        """
        with self._building:
            report = build_index(
                self._store,
                self._server,
                None if rebuild else self._recorded_index(),
                kind=kind,
                dimension=self.dimension,
                similarity=self.similarity,
                progress=progress,
            )
            self.sync()
            return report

    def _retried(self, search: Callable[[], T]) -> T:
        """Return the result of a search, tried again if another process has replaced the index, or it was deleted."""
        with self._server.one_timeout():
            self.sync()
            self._warn_of_no_index()
            try:
                return search()
            except CollectionGone:
                with self._lock:
                    self._recorded, self._checked = None, -1
                self.sync()
                return search()

    def _warn_of_no_index(self) -> None:
        """Log, once, that an address without an index is searched by comparing very many vectors."""
        if not (self._warned or self._state.record or self._recorded) and self._count >= self.policy.exact_below:
            self._warned = True
            log.warning(
                "all vectors are compared: %s has no index of this library yet; kindred build-index builds one",
                self._server.url,
            )

    def _follow_record(self) -> None:
        """Search the index that the store records, if the server has it."""
        if self._store.meta.get(self._key, "") == self._recorded:
            return
        record, text = self._followed()
        self._state, self._revision = State(record, self._nothing_later()), -1
        self._recorded = text

    def _recorded_index(self) -> IndexRecord | None:
        return self._followed()[0]

    def _followed(self) -> tuple[IndexRecord | None, str]:
        """Return the record of the store, and its text; None, logged with the reason, if the server has no such index.

        Another process may record the next state of the index while the server is asked, which then forgets this one.
        """
        text = self._store.meta.get(self._key, "")
        while True:
            try:
                record = self._usable(text)
            except LibraryDamaged as error:
                log.warning("all vectors are compared until the index is built again: %s", error)
                return None, text
            before, text = text, self._store.meta.get(self._key, "")
            if record is not None or text == before:
                break
        if record is None and text:
            log.warning(
                "all vectors are compared: %s has no index of the present library; kindred build-index builds one",
                self._server.url,
            )
        return record, before

    def _usable(self, text: str) -> IndexRecord | None:
        """Return a record if the server has what it says. Raises LibraryDamaged if it is invalid."""
        if not text:
            return None
        record = IndexRecord.parse(text, self._server.url.collection)
        fits = (record.dimension, record.similarity) == (self.dimension, self.similarity)
        return record if fits and self._server.holds(record) else None

    def _check_memory(self) -> None:
        record = self._state.record
        vectors = 0 if self._revision >= 0 else self._store.counts().vectors - (0 if record is None else record.count)
        if vectors > MOST_IN_MEMORY:
            raise LibraryError(
                f"{self._server.url}: {vectors:,} vectors of the library are not in the index; "
                "bring it up to date with kindred build-index"
            )
