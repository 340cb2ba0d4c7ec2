"""Scan: the files of an indexing run, of which it yields those to be described and counts the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from kindred import __version__
from kindred._support.digests import digest_of
from kindred._support.files import is_folder
from kindred._support.prefetch import prefetched
from kindred._support.remote_path import RemotePath
from kindred.errors import KindredError, UsageError
from kindred.images import Found, ImageScan
from kindred.library.index_report import IndexReport
from kindred.library.moves import Moves, Seen, stamp
from kindred.library.paths import Folders
from kindred.library.pruning import Prune, held_back, note_root, prune_remote, prune_root
from kindred.store import FileStamp, Known, Store

__all__ = ["Scan"]

LOOKUP = 500  # files looked up at a time
DIGEST_THREADS, DIGEST_AHEAD = 2, 32
DIGEST_BATCH = 16  # files whose digests are looked up at a time; the first images wait for so many digests


class Scan:
    """The files of one run, compared with a store: those found so far, and the changed facts to be committed.

    force: every file is to be described again. on_progress is called as files are counted, `stop` is asked after each.
    reasons: why files were skipped, by path, with those of earlier runs.
    """

    def __init__(
        self,
        store: Store,
        report: IndexReport,
        *,
        force: bool,
        stop: Callable[[], bool],
        on_progress: Callable[[], None],
    ) -> None:
        self.store, self.report, self.force, self.stop, self.on_progress = store, report, force, stop, on_progress
        self.reasons = {skip.path: skip.reason for skip in store.skipped()}
        self.folders, self.moves = Folders(), Moves(store, any_known=store.counts().images > 0)
        self.stamps: list[FileStamp] = []
        self.per_folder: Counter[Path] = Counter()  # number of files
        self.files: Iterable[Found] = ()

    def should_stop(self) -> bool:
        """Return whether the run is to end early; once it is, it stays so."""
        self.report.stopped = self.report.stopped or self.stop()
        return self.report.stopped

    def to_describe(self, files: Iterable[Found]) -> Iterator[tuple[Seen, Path]]:
        """Yield the files to describe; count the others."""
        self.files = files
        with closing(self.digested(files)) as read:
            for seen, known in read:
                if self.is_new(seen, known):
                    yield seen, seen.path
                if self.should_stop():
                    return
        if self.report.stopped:
            return  # which files swapped names is only known when all were seen
        moved, replaced = self.moves.settle()
        self.stamps += replaced
        # A list: all images take their new paths first, since files may have swapped names.
        again = [seen for seen, source in moved if self.take_over(seen, source)]
        yield from ((seen, seen.path) for seen in again)

    def digested(self, files: Iterable[Found]) -> Generator[tuple[Seen, Known | None]]:
        """Yield the files of `looked_up` with their digests; images of the same content are looked up in batches."""
        with closing(prefetched(_digested, self.looked_up(files), workers=DIGEST_THREADS, ahead=DIGEST_AHEAD)) as read:
            while batch := list(islice(read, DIGEST_BATCH)):
                self.moves.look_up(seen for seen, _ in batch)
                yield from batch

    def looked_up(self, files: Iterable[Found]) -> Iterator[tuple[Seen, Known | None]]:
        """Yield the files that are new or seem changed, with their entry in the store; count the others."""
        remaining = iter(files)
        while not self.should_stop() and (chunk := list(islice(remaining, LOOKUP))):
            self.commit_stamps()
            chunk_seen = []
            for found in chunk:
                path, volume = self.folders.place(found.path)
                chunk_seen.append(Seen(replace(found, path=path), path, volume))
            known = self.store.lookup(seen.path for seen in chunk_seen if seen.found.reason is None)
            for seen in chunk_seen:
                self.report.found += 1
                if seen.found.reason is not None:
                    self.report.skipped.append((seen.path, seen.found.reason))
                    continue
                self.per_folder[seen.path.parent] += 1
                entry = known.get(seen.path)
                if entry is None or self.looks_changed(seen, entry) or self.is_due(entry):
                    yield seen, entry
                else:
                    self.count_unchanged(seen, entry)
            self.on_progress()

    def is_new(self, seen: Seen, known: Known | None) -> bool:
        """Return whether a file is to be described; false if it was only moved or touched."""
        if known is not None and known.id in self.moves.claimed:
            known = None  # the image that had this path has been moved
        if known is not None and seen.digest is not None and known.digest == seen.digest:
            if self.is_due(known):
                return True
            if self.looks_changed(seen, known):
                self.stamps.append(stamp(known, seen))
            self.count_unchanged(seen, known)
            return False
        source = self.moves.source(seen)
        if source is None:
            return True
        self.moves.claimed.add(source.id)
        if known is not None:
            self.moves.wait(seen, known, source)
            return False
        return self.take_over(seen, source)

    def take_over(self, seen: Seen, source: Known) -> bool:
        """Assign the file to image `source`; return whether it has to be described again."""
        self.stamps.append(stamp(source, seen))
        if self.is_due(source):
            return True
        if source.state == "skipped":
            self.report.skipped.append((seen.path, self.reasons[source.path]))
        else:
            self.report.moved += 1
        return False

    def count_unchanged(self, seen: Seen, known: Known) -> None:
        """Count a file whose content is unchanged."""
        if known.state == "skipped":
            self.report.skipped.append((seen.path, self.reasons[known.path]))
        else:
            self.report.unchanged += 1
        found = seen.found
        # Device numbers change when a disk is mounted again.
        if (known.device, known.inode, known.volume) != (found.device, found.inode, seen.volume):
            self.stamps.append(stamp(known, seen))

    def looks_changed(self, seen: Seen, known: Known) -> bool:
        """Return whether the size or the time of a file is no longer that of its image; of a remote one, its ETag."""
        found = seen.found
        if isinstance(found.path, RemotePath):
            return (known.size, known.inode) != (found.size, found.inode)
        return (known.size, known.mtime_ns) != (found.size, found.mtime_ns)

    def is_due(self, known: Known) -> bool:
        """Return whether a file is described again although its content may be unchanged."""
        failed = known.state == "skipped"
        return self.force or (failed and (not known.final or known.version != __version__))

    def commit_stamps(self) -> None:
        """Store the changed facts of known images."""
        if not self.stamps:
            return
        try:
            self.store.restamp(self.stamps)
        except UsageError:
            # Another process has added an image at one of the paths: it stays, and the next run checks again.
            for each in self.stamps:
                with suppress(UsageError):
                    self.store.restamp([each])
        except KindredError:  # the disk is full: the last commit of the run must not fail on them again
            self.stamps.clear()
            raise
        self.stamps.clear()

    def prune(self, root: Path, mode: Prune) -> None:
        """Report or remove the images below `root` whose files are missing, as `kindred.library.pruning` describes."""
        remote = self.files.remote(root) if isinstance(self.files, ImageScan) else None
        if remote is None and not is_folder(root):
            return
        found = sum(count for folder, count in self.per_folder.items() if root == folder or root in folder.parents)
        if remote is not None:
            pruned = prune_remote(self.store, root, mode, found=found, listed=remote.listed)
        else:
            pruned = prune_root(self.store, root, mode, found=found)
        self.report.missing += pruned.missing
        self.report.removed += pruned.removed
        if pruned.held:
            self.report.held.append(pruned.held)
        if found and (mode == "keep" or not pruned.held or pruned.removed):
            note_root(self.store, root)
        if mode == "keep" and remote is None and pruned.missing and (why := held_back(self.store, root)):
            self.report.held.append(why)


def _digested(item: tuple[Seen, Known | None]) -> tuple[Seen, Known | None]:
    seen, known = item
    remote = isinstance(seen.path, RemotePath)
    return replace(seen, digest=seen.found.digest if remote else digest_of(seen.path)), known
