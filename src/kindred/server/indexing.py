"""The job that updates a library from folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.server.jobs import MOST_SKIPPED, Job, JobCancelled
from kindred.service.library import IndexForm

if TYPE_CHECKING:
    from kindred.library import Library
    from kindred.library.indexing import IndexProgress, IndexReport
    from kindred.library.pruning import Prune

__all__ = ["index_job"]


def index_job(library: Library, folders: Sequence[Path], prune: Prune) -> Callable[[Job], IndexForm]:
    """Return the work of indexing `folders`; what was described before a cancellation remains in the library."""

    def work(job: Job) -> IndexForm:
        named = 0

        def progress(here: IndexProgress, total: int) -> None:
            nonlocal named
            if not job.stage.startswith("Describing"):
                job.begin("Describing images", unit="files")
            job.skip(here.skipped_files[named:])
            named = len(here.skipped_files)
            job.report(here.seen, total)

        job.begin("Looking for images", unit="files")
        report = library.index(folders, prune=prune, progress=progress, stop=lambda: job.stopping)
        if report.stopped:
            raise JobCancelled(_form(report))
        return _form(report)

    return work


def _form(report: IndexReport) -> IndexForm:
    """Return the form of a report with a bounded number of files."""
    form = IndexForm.of(report)
    return replace(form, skipped=form.skipped[:MOST_SKIPPED], notes=form.notes[:MOST_SKIPPED])
