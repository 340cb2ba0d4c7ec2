"""SyncedWords: an inverted file of visual words, in step with the store or the rows that it is made of.

Reading the words of some thousand images takes a few hundredths of a second, those of a million half a minute. So
above some number they are stored in a file (a *snapshot*) as they are in memory, and only what came later is read from
the store. As with `SnapshotIndex`, the store names the one file that is right, with its checksum; any other is passed
over.
"""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import within
from kindred._support.forks import ForkSafeLock
from kindred.errors import LibraryDamaged, LibraryFull, UsageError
from kindred.index.hamming import HammingIndex
from kindred.index.protocol import Queries, RowSource
from kindred.index.selection import Selection
from kindred.index.snapshot import SnapshotPolicy, SnapshotRecord
from kindred.ranking import Ranking
from kindred.store import Filter, Store, VisualWords

__all__ = ["SyncedWords"]

META_KEY = "words_snapshot"
FILES = "index-*.words"
BATCH = 1 << 15
"""Images read at a time: joining batches costs more than reading them."""

log = logging.getLogger(__name__)


class SyncedWords:
    """Search the visual words of `source`; rankings hold the ids of the vectors of images.

    It is filled at the first search and follows what is committed after it. folder: where snapshots lie, when `policy`
    says that they are worth their while; the source is then a `Store`.
    """

    def __init__(self, source: RowSource, *, folder: Path | None = None, policy: SnapshotPolicy | None = None) -> None:
        self._source, self._folder, self._policy = source, folder, policy or SnapshotPolicy()
        self._engine = HammingIndex()
        self._selection = Selection(source, source.select)
        self._revision = -1
        self._saved = 0  # images in the snapshot
        self._lock = ForkSafeLock()
        self._building = ForkSafeLock()

    def __len__(self) -> int:
        """Return the number of images, as of the last `sync`."""
        return len(self._engine)

    @property
    def nbytes(self) -> int:
        """The bytes that words and signatures take."""
        return self._engine.nbytes

    @property
    def approximate(self) -> bool:
        """Whether an image may be missed: never, as far as its words go."""
        return False

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` images for the visual words of one query."""
        query = _words(queries)
        self.sync()
        return self._engine.search(query, k, allowed=self._selection.ids(where))

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (1, N) of all images, in order of id."""
        query = _words(queries)
        self.sync()
        return self._engine.scores(query)

    def sync(self) -> None:
        """Take over what any process committed since the last call; next to nothing where no vectors changed."""
        with self._lock:
            revision = self._source.vectors_revision
            if revision == self._revision:
                return
            if self._revision < 0:
                self._restore()
            for ids, words in self._source.visual_words(after_id=self._engine.live.last, batch=BATCH):
                self._engine.add(ids, words)
            # Removals may run ahead of the revision read before; the next call meets them again, which does no harm.
            self._engine.remove(self._source.removed_since(self._revision))
            self._revision = revision

    def renew(self) -> None:
        """Write a snapshot where that is due; without the room for it, searches read the store."""
        if self._folder is None:
            return
        with self._building:
            self.sync()
            with self._lock:
                if self._due:
                    self._save(self._folder)

    @property
    def _due(self) -> bool:
        """Whether many images came or went since the snapshot."""
        policy, live = self._policy, self._engine.live
        later = len(live.ids) - self._saved + live.dead
        return later > max(policy.changes, policy.tail_share * len(live.ids))

    def _restore(self) -> None:
        """Begin with the snapshot that the store names, where its file is sound."""
        if self._folder is None:
            return
        store = cast(Store, self._source)
        if record := store.meta.get(META_KEY):
            try:
                found = SnapshotRecord.parse(record)
                engine = HammingIndex.load(within(self._folder, found.file), checksum=found.checksum)
            except (OSError, LibraryDamaged) as error:
                log.warning("visual words are read from the library until their next snapshot is made: %s", error)
                return
            self._engine, self._revision, self._saved = engine, found.revision, len(engine)

    def _save(self, folder: Path) -> None:
        """Write all images to a file, name it in the store and delete older ones."""
        store = cast(Store, self._source)
        if not store.writable:
            return
        file = folder / f"index-{uuid.uuid4().hex[:12]}.words"
        try:
            record = SnapshotRecord(file.name, self._engine.save(file), self._revision)
            store.set_meta(META_KEY, json.dumps(asdict(record)))
        except (OSError, LibraryFull) as error:
            log.warning("the index of visual words stays in memory, its file cannot be written: %s", error)
            file.unlink(missing_ok=True)
            return
        self._saved = len(self._engine)
        for old in folder.glob(FILES):
            if old != file:
                with suppress(OSError):  # Windows keeps a file that is mapped; the next snapshot tries again
                    old.unlink()


def _words(queries: Queries) -> VisualWords:
    if not isinstance(queries, VisualWords):
        raise UsageError("search: got no visual words; the words of local features are compared here")
    return queries
