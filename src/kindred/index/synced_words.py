"""SyncedWords: an inverted file of visual words that stays in step with a store.

Reading the words of a few thousand images takes hundredths of a second, those of a million half a minute. Above some
number they are therefore saved in a file (a *snapshot*) in their memory layout, and only later changes are read from
the store. As with `SnapshotIndex`, the store records the current file with its checksum; any other file is ignored.
"""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import cast

from kindred._support.files import within
from kindred._support.forks import ForkSafeLock
from kindred.errors import LibraryDamaged, LibraryFull, UsageError
from kindred.index.hamming import HammingIndex
from kindred.index.protocol import Queries, RowSource
from kindred.index.records import Records, StoreRecords
from kindred.index.snapshot import SnapshotPolicy, SnapshotRecord
from kindred.index.synced import Synced
from kindred.store import Store, VisualWords

__all__ = ["SyncedWords"]

META_KEY = "words_snapshot"
FILES = "index-*.words"
BATCH = 1 << 15
"""Images per batch: many, as merging batches takes longer than reading them."""

log = logging.getLogger(__name__)


class SyncedWords(Synced[VisualWords]):
    """Search of the visual words of `source`; rankings hold vector ids.

    folder: the folder of snapshots, which are made according to `policy` and noted in `records`, by default in the
    source, which is then a `Store`.
    """

    def __init__(
        self,
        source: RowSource,
        *,
        folder: Path | None = None,
        policy: SnapshotPolicy | None = None,
        records: Records | None = None,
    ) -> None:
        self._words = HammingIndex()
        super().__init__(source, source.select, self._words)
        self._folder, self._policy = folder, policy or SnapshotPolicy()
        self._records = records
        self._saved = 0  # images in the snapshot
        self._building = ForkSafeLock()

    def renew(self) -> None:
        """Write a snapshot if it is due; if it cannot be written, searches read the store."""
        if self._folder is None:
            return
        with self._building:
            self.sync()
            with self._lock:
                if self._due:
                    self._save(self._folder)

    def _checked_queries(self, queries: Queries) -> VisualWords:
        if not isinstance(queries, VisualWords):
            raise UsageError("search: got no visual words; this index compares the words of local features")
        return queries

    def _apply_changes(self, since: int) -> None:
        if since < 0:
            since = self._restore()
        for ids, words in self._source.visual_words(after_id=self._words.live.last, batch=BATCH):
            self._words.add(ids, words)
        self._words.remove(self._source.removed_since(since))

    @property
    def _recorded(self) -> Records:
        """Where the current snapshot is recorded, by default in the store."""
        return self._records or StoreRecords(cast(Store, self._source))

    @property
    def _due(self) -> bool:
        """Whether enough images were added or removed since the snapshot."""
        policy, live = self._policy, self._words.live
        later = len(live.ids) - self._saved + live.removed
        return later > max(policy.changes, policy.tail_share * len(live.ids))

    def _restore(self) -> int:
        """Load the snapshot recorded in the store, if its file is valid; return its revision."""
        if self._folder is None or not (record := self._recorded.get(META_KEY)):
            return -1
        try:
            found = SnapshotRecord.parse(record)
            words = HammingIndex.load(within(self._folder, found.file), checksum=found.checksum)
        except (OSError, LibraryDamaged) as error:
            log.warning("visual words are read from the library until their next snapshot is made: %s", error)
            return -1
        self._engine = self._words = words
        self._saved = len(words)
        return found.revision

    def _save(self, folder: Path) -> None:
        """Write all images to a file, record it in the store and delete older ones."""
        if not self._recorded.writable:
            return
        file = folder / f"index-{uuid.uuid4().hex[:12]}.words"
        try:
            record = SnapshotRecord(file.name, self._words.save(file), self._revision)
            self._recorded.put(META_KEY, json.dumps(asdict(record)))
        except (OSError, LibraryFull) as error:
            log.warning("the index of visual words stays in memory, its file cannot be written: %s", error)
            file.unlink(missing_ok=True)
            return
        self._saved = len(self._words)
        for old in folder.glob(FILES):
            if old != file:
                with suppress(OSError):  # Windows does not delete a mapped file; the next snapshot tries again
                    old.unlink()
