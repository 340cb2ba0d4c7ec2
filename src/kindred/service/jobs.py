"""The form of a background job of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kindred.service.form import Form
from kindred.service.library import SkipForm

__all__ = ["JobForm", "JobState", "JobsForm", "RequestForm"]

JobState = Literal["running", "done", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True)
class RequestForm(Form):
    """A request: POST of `body` as JSON to `path`, below the address of the API."""

    path: str
    body: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class JobForm(Form):
    """A job and its progress.

    stopping: whether it was cancelled and has not stopped yet. stage: what it is doing now, as text for people. done,
    total: finished `unit`s of this stage, total 0 if unknown. rate: units per second at present. seconds: since the
    start; seconds_left: as the present rate suggests. skipped: number of files that could not be used; skipped_files:
    the first of them. started, finished: UTC, ISO. result: what the job returned, once it is done. problem: why it
    failed or, of one that was interrupted because the server ended, how to go on, in the form of every error of the
    server. again: what starts the same job; null if nothing does.
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
    again: RequestForm | None


@dataclass(frozen=True)
class JobsForm(Form):
    """The jobs of a server, newest first."""

    jobs: tuple[JobForm, ...]
