"""The form of a background job of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kindred.service.form import Form
from kindred.service.library import SkipForm

__all__ = ["JobForm", "JobState", "JobsForm"]

JobState = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class JobForm(Form):
    """A job and its progress.

    stopping: whether it was cancelled and has not stopped yet. stage: what it is doing now, as text for people. done,
    total: finished `unit`s of this stage, total 0 if unknown. rate: units per second at present. seconds: since the
    start; seconds_left: as the present rate suggests. skipped: number of files that could not be used; skipped_files:
    the first of them. started, finished: UTC, ISO. result: what the job returned, once it is done. problem: why it
    failed, in the form of every error of the server.
    """

    id: str
    kind: str
    title: str
    state: JobState
    stopping: bool
    stage: str
    unit: str
    done: int
    total: int
    rate: float | None
    seconds: float
    seconds_left: float | None
    skipped: int
    skipped_files: tuple[SkipForm, ...]
    started: str
    finished: str | None
    result: Mapping[str, object] | None
    problem: Mapping[str, object] | None


@dataclass(frozen=True)
class JobsForm(Form):
    """The jobs of a server, newest first."""

    jobs: tuple[JobForm, ...]
