"""Indexing: update a store from files on disk, in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from kindred._support.forks import ProcessMark
from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import RemotePath
from kindred.describer import Describer, Executor
from kindred.errors import RemoteError
from kindred.features import stored_bits
from kindred.images import Found
from kindred.images.remote import remote_file
from kindred.library.index_report import IndexProgress, IndexReport, run_record
from kindred.library.pruning import Prune
from kindred.library.reading_ahead import local_executor
from kindred.library.scanning import Scan
from kindred.library.storing import VANISHED, Descriptions
from kindred.store import Store

__all__ = ["IndexProgress", "IndexReport", "files_at", "index_images"]


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
    executor: Executor | None = None,
) -> IndexReport:
    """Describe every file that is new or changed, and store the result.

    A file whose size and modification time are unchanged only costs a look-up. A file that failed before is tried again
    if the cause was not its content, and after an update of Kindred. A file that was moved, renamed or touched without
    a change of content is not described again. force: describe every file again.

    Results are committed every two seconds and when the run is interrupted. At the end, `prune` decides what happens to
    images below the folders `roots` whose files are gone (see `kindred.library.pruning`). `stop` is asked after every
    file; once it returns true the run ends, with what was described so far committed and nothing pruned, and the next
    run continues from there. `executor` describes the files, by default with `describer` in this process. Raises
    `LibraryFull` if the disk is full; earlier commits remain.
    """
    run = _Run(store, describer, progress or _silent, stop or _never, force=force)
    return run.finish(executor or local_executor(describer, roots), files, roots, prune)


def files_at(paths: Iterable[Path]) -> Iterator[Found]:
    """Yield single files in the form in which `kindred.images.find_images` yields those of folders."""
    for path in paths:
        try:
            if isinstance(path, RemotePath):
                yield remote_file(path)
                continue
            facts = path.stat()
        except RemoteError as error:
            yield Found(path, reason=error.reason)
        except FileNotFoundError:
            yield Found(path, reason=VANISHED)
        except (OSError, ValueError) as error:  # ValueError: no file can have this name
            yield Found(path, reason=f"cannot be read: {explain_os_error(error)}")
        else:
            yield Found(path, facts.st_size, facts.st_mtime_ns, None, facts.st_dev, facts.st_ino)


class _Run:
    """One run: its scan of the files, and their descriptions, both counted in one report."""

    def __init__(
        self,
        store: Store,
        describer: Describer,
        progress: Callable[[IndexProgress], None],
        stop: Callable[[], bool],
        *,
        force: bool,
    ) -> None:
        self.store, self.progress, self.report = store, progress, IndexReport()
        self.scan = Scan(store, self.report, force=force, stop=stop, on_progress=self.report_progress)
        self.descriptions = Descriptions(
            store,
            self.report,
            bits=stored_bits(describer.recipe.stored_features),
            reasons=self.scan.reasons,
            before_commit=self.scan.commit_stamps,
            on_progress=self.report_progress,
        )
        self.began = time.monotonic()
        self.made_in = ProcessMark()

    def finish(self, executor: Executor, files: Iterable[Found], roots: Sequence[Path], prune: Prune) -> IndexReport:
        number, report = self.store.begin_run(), self.report
        try:
            with closing(executor.describe(self.scan.to_describe(files))) as descriptions:
                for described in descriptions:
                    self.descriptions.take(described)
                    if self.scan.should_stop():
                        break
        finally:
            if not self.made_in.inherited:  # what a forked child has of them, its parent commits
                self.descriptions.commit()
        self.made_in.check("this indexing run")
        if not report.stopped:
            for root in roots:
                self.scan.prune(root, prune)
        report.skipped.sort()
        report.notes.sort()
        report.seconds = time.monotonic() - self.began
        # Not in `finally`: an interrupted run has no end time in its record, nor has a stopped one.
        if not report.stopped:
            self.store.finish_run(number, run_record(number, report))
        return report

    def report_progress(self) -> None:
        report = self.report
        seen = report.indexed + report.unchanged + report.moved + len(report.skipped)
        seconds = time.monotonic() - self.began
        self.progress(IndexProgress(seen, report.indexed, len(report.skipped), seconds, report.skipped))


def _silent(_: IndexProgress) -> None:
    """Ignore progress."""


def _never() -> bool:
    """Never end a run early."""
    return False
