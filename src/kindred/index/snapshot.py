"""SnapshotIndex: the approximate index of a library, derived from its store and in step with it.

Up to some tens of thousands of rows, all rows are compared in memory, after reading them from the store in less than a
second. Above that, a main HNSW index is built from time to time and saved in a file (a *snapshot*), and the rows added
later form a *tail* that is searched exactly. Adding one image to a library of a million thus costs one row, not a new
file.

The store records the current snapshot with its checksum. A file that is missing, truncated, changed or outdated is
ignored: search is then exact over the rows of the store, until the next snapshot. A search never waits for an index to
be built.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from kindred._support.files import within
from kindred._support.forks import ForkSafeLock
from kindred.arrays import top_k
from kindred.errors import LibraryDamaged, LibraryFull
from kindred.index.exact import ExactIndex
from kindred.index.hnsw_settings import HNSW_SIMILARITIES, HNSWSettings
from kindred.index.id_map import checked_queries, padded_ranking
from kindred.index.protocol import Queries
from kindred.index.records import Records, StoreRecords
from kindred.index.selection import Selection
from kindred.index.synced import as_vectors
from kindred.ranking import Ranking
from kindred.store import Filter, Store

if TYPE_CHECKING:
    from kindred.index.hnsw import HNSWIndex

__all__ = ["SnapshotIndex", "SnapshotPolicy"]

BUILD_ROWS = 16_384
META_KEY = "snapshot"
FILES = "index-*.hnsw"
FILE_NAME = re.compile(r"index-[0-9a-f]{12}\.(hnsw|words)")
MOST_RECORD = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SnapshotPolicy:
    """When a snapshot is made.

    exact_below: number of rows up to which comparing all of them (10 ms at 512 components) and reading them at the
    start (0.4 s) take no longer than describing the query and loading its model.
    changes, tail_share: the tail is moved into a new snapshot when it is longer than both `changes` rows and this share
    of all rows; 5,000 rows cost a query 1 ms, and writing the snapshot of a million takes seconds.
    removed_share: the graph is built from scratch when removed rows exceed this share; until then a search fetches more
    candidates.
    """

    exact_below: int = 50_000
    changes: int = 5_000
    tail_share: float = 0.02
    removed_share: float = 0.2


@dataclass(frozen=True)
class SnapshotRecord:
    """The store's record of the snapshot: its file name, its checksum, and the revision of its rows."""

    file: str
    checksum: int
    revision: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the JSON of a record; raises LibraryDamaged if it is invalid, as a library may be untrusted."""
        try:
            found = cls(**json.loads(text if len(text) <= MOST_RECORD else ""))
            numbers = (found.checksum, found.revision)
            sound = all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
        except (ValueError, TypeError, RecursionError):
            sound = False
        if not sound or not isinstance(found.file, str) or not FILE_NAME.fullmatch(found.file):
            shown = text[:60].encode("unicode_escape").decode()
            raise LibraryDamaged(
                f"meta {META_KEY!r}: is not a valid snapshot record ({shown}); the next snapshot replaces it"
            )
        return found


class SnapshotIndex:
    """Search of the vectors of `store`, with snapshots saved in `folder`; None keeps them in memory. Thread-safe.

    records: where the current snapshot is recorded, by default in the store. The writing process calls `snapshot` after
    its changes, or in the background when `snapshot_due`. Raises LibraryDamaged if the store is damaged.
    """

    def __init__(
        self,
        folder: Path | None,
        store: Store,
        *,
        dimension: int,
        similarity: str = "cosine",
        policy: SnapshotPolicy | None = None,
        settings: HNSWSettings | None = None,
        records: Records | None = None,
    ) -> None:
        self.folder = folder
        self.dimension = dimension
        self.similarity = similarity
        self.policy = policy or SnapshotPolicy()
        self.settings = settings or HNSWSettings()
        self._store = store
        self._records = records or StoreRecords(store)
        self._selection = Selection(store, store.select)
        self._main: HNSWIndex | None = None
        self._tail = self._empty_tail()
        self._record = ""
        self._checked = -1  # the revision of the store at the last sync
        self._revision = -1  # the revision of the vectors in this index
        self._lock = ForkSafeLock()
        self._building = ForkSafeLock()
        # Set while the main index could not be written to its file: the next snapshot is due at once.
        self._unwritten = False

    def __len__(self) -> int:
        """Return the number of vectors, as of the last `sync`."""
        return len(self._tail) + (len(self._main) if self._main is not None else 0)

    @property
    def nbytes(self) -> int:
        """Size of rows and graph in bytes, in memory or mapped from the snapshot's file."""
        return self._tail.nbytes + (self._main.nbytes if self._main is not None else 0)

    @property
    def approximate(self) -> bool:
        """Whether a snapshot is searched, rather than every row."""
        return self._main is not None

    @property
    def snapshot_due(self) -> bool:
        """Whether `snapshot` would make a new snapshot, as of the last `sync`."""
        policy, main = self.policy, self._main
        if self.similarity not in HNSW_SIMILARITIES:
            return False
        if main is None:
            return len(self) >= policy.exact_below
        return (
            self._unwritten
            or len(self._tail) > max(policy.changes, policy.tail_share * len(main))
            or self._needs_rebuild(main)
        )

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` vector ids for queries (Q, D), including all changes committed before the call."""
        wanted = checked_queries(as_vectors(queries), k, self.dimension)
        self.sync()
        allowed = self._selection.ids(where)
        with self._lock:
            main, tail = self._main, self._tail
        if main is None:
            return tail.search(wanted, k, allowed=allowed)
        if len(tail) == 0:
            return main.search(wanted, k, allowed=allowed)
        older_ids, older_scores = main.nearest(wanted, k, allowed=allowed)
        newer_ids, newer_scores = tail.nearest(wanted, k, allowed=allowed)
        # The main index first: its ids are lower, and equal scores are ordered by id.
        ids = np.concatenate((older_ids, newer_ids), axis=1)
        scores = np.concatenate((older_scores, newer_scores), axis=1)
        most = min(k, len(main) + len(tail))
        order, best = top_k(scores, max(1, most))
        return padded_ranking((np.take_along_axis(ids, order, axis=1), best), most)

    def sync(self) -> None:
        """Apply the changes that any process has committed since the last call; fast if no vectors changed."""
        with self._lock:
            revision = self._store.revision
            if revision == self._checked:
                return
            self._follow_snapshot()
            vectors = self._store.vectors_revision
            if vectors != self._revision:
                self._pull()
            self._revision, self._checked = vectors, revision

    def renew(self) -> None:
        """Make a snapshot if it is due; fast if there are few vectors."""
        if self._main is not None or self._store.counts().vectors >= self.policy.exact_below:
            self.snapshot()

    def snapshot(self, *, progress: Callable[[int, int], None] | None = None, force: bool = False) -> bool:
        """Build a main index of all rows if it is due, or if `force`; return whether it was built.

        Searches continue meanwhile. If the store is open for writing, the index is saved in a file; otherwise, or if
        the disk is full, it stays in the memory of this process. A million rows take minutes the first time and seconds
        later. progress: called with the number of rows added and their total.
        """
        with self._building:
            self.sync()
            buildable = self.similarity in HNSW_SIMILARITIES and len(self) > 0
            if not buildable or not (force or self.snapshot_due):
                return False
            revision = self._store.vectors_revision
            main = self._build(progress or _silent)
            writable = self._records.writable
            saved = writable and self._save(main, revision)
            if not saved:
                with self._lock:
                    self._set_main(main, revision)
            self._unwritten = writable and not saved
            self.sync()
            return True

    def _needs_rebuild(self, main: HNSWIndex) -> bool:
        return main.live.removed > max(self.policy.changes, self.policy.removed_share * len(main))

    def _empty_tail(self) -> ExactIndex:
        return ExactIndex(self.dimension, similarity=self.similarity)

    def _set_main(self, main: HNSWIndex, revision: int) -> None:
        """Search `main`, which holds the rows of `revision`, and a tail of the rows added later."""
        self._main, self._tail, self._revision = main, self._empty_tail(), revision
        self._checked = -1

    def _follow_snapshot(self) -> None:
        """Load the snapshot recorded in the store, unless it has already been loaded or tried."""
        if self.folder is None:
            return
        # A loop, as the writing process may replace the snapshot and delete its file before it is opened here.
        while (record := self._records.get(META_KEY)) != self._record:
            self._record = record
            try:
                found = SnapshotRecord.parse(record)
                main = self._load(found, mapped=True)
            except (OSError, LibraryDamaged) as error:
                log.warning("the snapshot is ignored, and search is exact until the next one is made: %s", error)
            else:
                self._set_main(main, found.revision)

    def _load(self, record: SnapshotRecord, *, mapped: bool) -> HNSWIndex:
        """Load a snapshot; raises OSError or LibraryDamaged if it is not the recorded one."""
        from kindred.index.hnsw import HNSWIndex

        assert self.folder is not None
        file = within(self.folder, record.file)
        index = HNSWIndex.load(file, mapped=mapped, checksum=record.checksum)
        if (index.dimension, index.similarity) != (self.dimension, self.similarity):
            raise LibraryDamaged(f"{file}: is an index of other vectors; delete it, and it is built again")
        index.settings = replace(index.settings, ef_search=self.settings.ef_search)
        return index

    def _pull(self) -> None:
        """Add the rows after the last one in this index and drop those removed since `_revision`.

        Both may include changes after the revision that `sync` has read; the next `sync` then repeats removals, which
        is harmless.
        """
        after = max(self._tail.live.last, self._main.live.last if self._main is not None else 0)
        for ids, rows in self._store.vectors(after_id=after):
            self._tail.add(ids, rows)
        removed = self._store.removed_since(self._revision)
        if removed.size:
            self._tail.remove(removed)
            if self._main is not None:
                self._main.remove(removed)

    def _build(self, progress: Callable[[int, int], None]) -> HNSWIndex:
        """Return an index of all rows: the recorded snapshot with the later rows added, or a new index."""
        index, revision = self._base()
        total, done = self._store.counts().vectors, len(index)
        progress(done, total)
        for ids, rows in self._store.vectors(after_id=index.live.last, batch=BUILD_ROWS):
            index.add(ids, rows)
            done += len(ids)
            progress(done, max(done, total))
        index.remove(self._store.removed_since(revision))
        return index

    def _base(self) -> tuple[HNSWIndex, int]:
        """Return an index to add rows to, and its revision: the recorded snapshot if it is valid, or an empty one."""
        from kindred.index.hnsw import HNSWIndex

        if self._main is not None and not self._needs_rebuild(self._main):
            with suppress(OSError, LibraryDamaged):
                record = SnapshotRecord.parse(self._record)
                return self._load(record, mapped=False), record.revision
        return HNSWIndex(self.dimension, similarity=self.similarity, settings=self.settings), 0

    def _save(self, index: HNSWIndex, revision: int) -> bool:
        """Write the snapshot, record it in the store, delete older ones; return whether it could be written."""
        if self.folder is None:
            return False
        file = self.folder / f"index-{uuid.uuid4().hex[:12]}.hnsw"
        try:
            record = SnapshotRecord(file.name, index.save(file), revision)
            self._records.put(META_KEY, json.dumps(asdict(record)))
        except (OSError, LibraryFull) as error:
            log.warning("the search index stays in memory, its file cannot be written: %s", error)
            file.unlink(missing_ok=True)
            return False
        for old in self.folder.glob(FILES):
            if old != file:
                with suppress(OSError):  # Windows does not delete a mapped file; the next snapshot tries again
                    old.unlink()
        return True


def _silent(done: int, total: int) -> None:
    """Report no progress."""
