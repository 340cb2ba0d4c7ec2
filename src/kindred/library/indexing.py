"""Indexing: update a store from files on disk, in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from kindred import __version__
from kindred._support.digests import digest_of
from kindred._support.files import is_folder
from kindred._support.os_errors import explain_os_error
from kindred._support.prefetch import prefetched
from kindred.describer import Describer, Description
from kindred.errors import ImageError, KindredError, UsageError
from kindred.features import stored_bits, to_bytes
from kindred.images import Found, LeftOut
from kindred.library.moves import Moves, Seen, stamp
from kindred.library.paths import Folders
from kindred.library.pruning import Prune, held_back, note_root, prune_root
from kindred.store import Entry, FileStamp, Known, Run, Store

__all__ = ["IndexProgress", "IndexReport", "files_at", "index_images"]

LOOKUP = 500  # files looked up at a time
COMMIT_IMAGES, COMMIT_SECONDS = 256, 2.0  # if the process is killed, at most this much is lost
DIGEST_THREADS, DIGEST_AHEAD = 2, 32
DIGEST_BATCH = 16  # files whose digests are looked up at a time; the first images wait for so many digests
VANISHED = "file vanished"
FEATURELESS = "no local features found"


@dataclass(frozen=True)
class IndexProgress:
    """Progress of a run: files processed, images described, files skipped, and the seconds since the start.

    skipped_files: those skipped so far with the reasons, in order; a list that grows, to be read during the call.
    """

    seen: int
    indexed: int
    skipped: int
    seconds: float
    skipped_files: Sequence[tuple[Path, str]] = ()


@dataclass
class IndexReport:
    """Summary of a run. `skipped` lists every file that could not be used, including those of earlier runs.

    moved: images whose files were moved or renamed; they were not described again. missing: images of the folders whose
    files do not exist. removed: images removed from the library. held: for each folder with images that
    `prune` "gone" did not remove, or would not, the reason. notes: remarks on single images, such as which frame was
    described. left_out: counts of files that were not considered: other file types, hidden files, files excluded by a
    pattern. stopped: whether the run ended early because it was asked to.
    """

    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    removed: int = 0
    held: list[str] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def images_per_second(self) -> float:
        """Images described per second of the run."""
        return self.indexed / self.seconds if self.seconds > 0 else 0.0


def index_images(
    store: Store,
    describer: Describer,
    files: Iterable[Found],
    *,
    roots: Sequence[Path] = (),
    prune: Prune = "keep",
    force: bool = False,
    progress: Callable[[IndexProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> IndexReport:
    """Describe every file that is new or changed, and store the result.

    A file whose size and modification time are unchanged only costs a look-up. A file that failed before is tried again
    if the cause was not its content, and after an update of Kindred. A file that was moved, renamed or touched without
    a change of content is not described again. force: describe every file again.

    Results are committed every two seconds and when the run is interrupted. At the end, `prune` decides what happens to
    images below the folders `roots` whose files are gone (see `kindred.library.pruning`). `stop` is asked after every
    file; once it returns true the run ends, with what was described so far committed and nothing pruned, and the next
    run continues from there. Raises `LibraryFull` if the disk is full; earlier commits remain.
    """
    bits = stored_bits(describer.recipe.stored_features)
    run = _Run(store, progress or _silent, stop or _never, force=force, bits=bits)
    return run.finish(describer, files, roots, prune)


def files_at(paths: Iterable[Path]) -> Iterator[Found]:
    """Yield single files in the form in which `kindred.images.find_images` yields those of folders."""
    for path in paths:
        try:
            facts = path.stat()
        except FileNotFoundError:
            yield Found(path, reason=VANISHED)
        except (OSError, ValueError) as error:  # ValueError: no file can have this name
            yield Found(path, reason=f"cannot be read: {explain_os_error(error)}")
        else:
            yield Found(path, facts.st_size, facts.st_mtime_ns, None, facts.st_dev, facts.st_ino)


class _Run:
    """One run: its counts so far, and the entries that are waiting to be committed."""

    def __init__(
        self,
        store: Store,
        progress: Callable[[IndexProgress], None],
        stop: Callable[[], bool],
        *,
        force: bool,
        bits: int,
    ) -> None:
        self.store, self.progress, self.stop, self.force, self.bits = store, progress, stop, force, bits
        self.report = IndexReport()
        self.reasons = {skip.path: skip.reason for skip in store.skipped()}
        self.folders, self.moves = Folders(), Moves(store, any_known=store.counts().images > 0)
        self.buffer: list[Entry] = []
        self.stamps: list[FileStamp] = []
        self.per_folder: Counter[Path] = Counter()  # number of files
        self.began = self.committed = time.monotonic()

    def finish(self, describer: Describer, files: Iterable[Found], roots: Sequence[Path], prune: Prune) -> IndexReport:
        number, report = self.store.begin_run(), self.report
        try:
            with closing(describer.stream(self.to_describe(files))) as descriptions:
                for described in descriptions:
                    self.take(described)
                    if self.should_stop():
                        break
        finally:
            self.commit()
        if not report.stopped:
            for root in roots:
                self.prune(root, prune)
        report.skipped.sort()
        report.notes.sort()
        report.seconds = time.monotonic() - self.began
        # Not in `finally`: an interrupted run has no end time in its record, nor has a stopped one.
        if not report.stopped:
            self.store.finish_run(number, _record(number, report))
        return report

    def should_stop(self) -> bool:
        """Return whether the run is to end early; once it is, it stays so."""
        self.report.stopped = self.report.stopped or self.stop()
        return self.report.stopped

    def to_describe(self, files: Iterable[Found]) -> Iterator[tuple[Seen, Path]]:
        """Yield the files to describe; count the others."""
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
            self.report_progress()

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
        self.report.moved += 1
        if self.is_due(source):
            return True
        if source.state == "skipped":
            self.report.skipped.append((seen.path, self.reasons[source.path]))
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
        return (known.size, known.mtime_ns) != (seen.found.size, seen.found.mtime_ns)

    def is_due(self, known: Known) -> bool:
        """Return whether a file is described again although its content may be unchanged."""
        failed = known.state == "skipped"
        return self.force or (failed and (not known.final or known.version != __version__))

    def take(self, described: Description[Seen]) -> None:
        """Add one description to the buffer, and commit the buffer when it is due."""
        if described.vectors is not None and not len(described.vectors):
            described = Description(described.key, error=ImageError(described.key.path, FEATURELESS))
        seen, error = described.key, described.error
        if error is None:
            self.report.indexed += 1
            self.buffer.append(_entry(described, self.bits))
            if described.frames > 1:
                self.report.notes.append((seen.path, _frame_note(described.frame, described.frames)))
        else:
            self.report.skipped.append((seen.path, error.reason))
            self.reasons[seen.path] = error.reason
            if not self.is_temporary(seen, error):
                self.buffer.append(_entry(described, self.bits))
        if len(self.buffer) >= COMMIT_IMAGES or time.monotonic() - self.committed > COMMIT_SECONDS:
            self.commit()
        self.report_progress()

    def is_temporary(self, seen: Seen, error: ImageError) -> bool:
        """Return whether a failure is temporary, so that the stored description is kept until the next run.

        A vanished file may be back, unchanged; a permission, a disk or a package that fails now may work then.
        """
        if error.reason == VANISHED:
            return True
        if error.final:
            return False
        self.commit_stamps()  # the image may have been moved in this run
        known = self.store.lookup([seen.path]).get(seen.path)
        return known is not None and known.state == "indexed"

    def commit(self) -> None:
        try:
            self.commit_stamps()
            if self.buffer:
                self.store.put(self.buffer)
        except KindredError:
            # The disk is full: drop these rows, so that the last commit of the run does not fail on them again.
            # After an interrupt, they are left to that commit.
            self.buffer.clear()
            self.stamps.clear()
            raise
        self.buffer.clear()
        self.committed = time.monotonic()

    def commit_stamps(self) -> None:
        if not self.stamps:
            return
        try:
            self.store.restamp(self.stamps)
        except UsageError:
            # Another process has added an image at one of the paths: it stays, and the next run checks again.
            for each in self.stamps:
                with suppress(UsageError):
                    self.store.restamp([each])
        self.stamps.clear()

    def prune(self, root: Path, mode: Prune) -> None:
        if not is_folder(root):
            return
        found = sum(count for folder, count in self.per_folder.items() if root == folder or root in folder.parents)
        pruned = prune_root(self.store, root, mode, found=found)
        self.report.missing += pruned.missing
        self.report.removed += pruned.removed
        if pruned.held:
            self.report.held.append(pruned.held)
        if found and (not pruned.held or pruned.removed):
            note_root(self.store, root)
        if mode == "keep" and pruned.missing and (why := held_back(self.store, root)):
            self.report.held.append(why)

    def report_progress(self) -> None:
        report = self.report
        seen = report.indexed + report.unchanged + report.moved + len(report.skipped)
        seconds = time.monotonic() - self.began
        self.progress(IndexProgress(seen, report.indexed, len(report.skipped), seconds, report.skipped))


def _digested(item: tuple[Seen, Known | None]) -> tuple[Seen, Known | None]:
    seen, known = item
    return replace(seen, digest=digest_of(seen.path)), known


def _frame_note(frame: int, frames: int) -> str:
    return f"first of {frames} frames or pages" if not frame else f"frame or page {frame + 1} of {frames}"


def _record(number: int, report: IndexReport) -> Run:
    return Run(
        number,
        "",
        found=report.found,
        indexed=report.indexed,
        unchanged=report.unchanged,
        skipped=len(report.skipped),
        removed=report.removed,
        moved=report.moved,
    )


def _entry(described: Description[Seen], bits: int) -> Entry:
    """Return what is stored of an image; `bits` of each component of its local features."""
    seen, found, error = described.key, described.key.found, described.error
    return Entry(
        seen.path,
        found.size,
        found.mtime_ns,
        described.width,
        described.height,
        described.taken,
        vectors=described.vectors,
        boxes=described.boxes,
        words=described.words,
        features=to_bytes(described.features, bits=bits) if described.features is not None else None,
        reason=error.reason if error is not None else None,
        final=error.final if error is not None else True,
        digest=seen.digest,
        device=found.device,
        inode=found.inode,
        volume=seen.volume,
        frames=described.frames,
        frame=described.frame,
        visual_words=described.visual_words,
    )


def _silent(_: IndexProgress) -> None:
    """Ignore progress."""


def _never() -> bool:
    """Never end a run early."""
    return False
