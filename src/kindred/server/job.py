"""A background job: its progress, its events, and its result. May be used by any thread."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from kindred._support.pace import Pace
from kindred.service.form import Form
from kindred.service.jobs import JobForm, JobState, RequestForm
from kindred.service.library import SkipForm

__all__ = ["MOST_EVENTS", "MOST_SKIPPED", "Event", "Job", "JobCancelled"]

MOST_SKIPPED = 1000  # files named per job; the library lists all of them
MOST_EVENTS, EVENTS_OF_ENDED = 500, 20  # stored per job, for a client that was away
BETWEEN_EVENTS = 0.2  # seconds between two reports of progress


class JobCancelled(Exception):
    """Raised by a job that stops because it was cancelled, as `Job.check` does; `result`: what it did until then."""

    def __init__(self, result: Form | None = None) -> None:
        super().__init__("cancelled")
        self.result = result


@dataclass(frozen=True)
class Event:
    """One event of a job: its number from 1, its name (progress, skipped, or the state at its end) and its data."""

    id: int
    name: str
    data: Mapping[str, object]


class Job:
    """One job, running or ended. All methods may be called by any thread."""

    def __init__(self, kind: str, title: str, *, unit: str = "images", again: RequestForm | None = None) -> None:
        self.id, self.kind, self.title, self.again = secrets.token_hex(8), kind, title, again
        self.state: JobState = "running"
        self._stage, self._unit = "", unit
        self._done = self._total = self._skipped = 0
        self._files: list[SkipForm] = []
        self._new_files: list[SkipForm] = []
        self._result: Mapping[str, object] | None = None
        self._problem: Mapping[str, object] | None = None
        self._stop, self._interrupted = threading.Event(), False
        self._changed = threading.Condition()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._last_event = 0
        self._listeners: dict[object, Callable[[], None]] = {}
        self._began = self._reported = time.monotonic()
        self._ended: float | None = None
        self._pace = Pace(self._began)
        self._started, self._finished = _now(), ""
        self._emit("progress")

    @classmethod
    def before(cls, form: JobForm, problem: Mapping[str, object]) -> Self:
        """Return a job of an earlier server; one that was running then is interrupted, with `problem`."""
        job = cls(form.kind, form.title, unit=form.unit, again=form.again)
        was_running = form.state == "running"
        job.id, job.state = form.id, "interrupted" if was_running else form.state
        job._stage, job._done, job._total, job._skipped = form.stage, form.done, form.total, form.skipped
        job._result, job._problem = form.result, problem if was_running else form.problem
        job._began, job._ended = job._reported - form.seconds, job._reported
        job._started, job._finished = form.started, form.finished or ""
        job._events.clear()
        job._last_event = 0
        job._emit(job.state)
        return job

    # For the work of the job

    @property
    def stage(self) -> str:
        """What the job is doing, as set by `begin`."""
        return self._stage

    @property
    def stopping(self) -> bool:
        """Whether the job is to stop: it was cancelled, or the server ends."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise JobCancelled if the job is to stop."""
        if self._stop.is_set():
            raise JobCancelled

    def begin(self, stage: str, *, unit: str | None = None) -> None:
        """Begin a new stage of the work, with counts and a rate of its own."""
        with self._changed:
            self._stage, self._unit = stage, unit or self._unit
            self._done = self._total = 0
            self._pace = Pace(time.monotonic())
            self._emit("progress")

    def report(self, done: int, total: int = 0) -> None:
        """Report that `done` of `total` are finished in this stage; 0: the total is unknown."""
        with self._changed:
            now = time.monotonic()
            if done < self._done:
                self._pace = Pace(now)
            self._done, self._total = done, total
            self._pace.note(done, now)
            if now - self._reported >= BETWEEN_EVENTS:
                self._emit("progress")

    def skip(self, files: Iterable[tuple[Path, str]]) -> None:
        """Report files that could not be used, with the reasons."""
        with self._changed:
            for path, reason in files:
                self._skipped += 1
                if len(self._files) < MOST_SKIPPED:
                    self._files.append(SkipForm(path, reason))
                    self._new_files.append(self._files[-1])
            if time.monotonic() - self._reported >= BETWEEN_EVENTS:
                self._emit("progress")

    # For everyone

    def cancel(self) -> None:
        """Ask the job to stop; it does so at its next `check`. Nothing happens if it has ended."""
        with self._changed:
            if not (self.ended or self._stop.is_set()):
                self._stop.set()
                self._emit("progress")

    def interrupt(self) -> None:
        """Ask the job to stop because the server ends, unless it was cancelled before."""
        with self._changed:
            if not (self.ended or self._stop.is_set()):
                self._interrupted = True
        self.cancel()

    @property
    def interrupted(self) -> bool:
        """Whether the job is to stop because the server ends."""
        return self._interrupted

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed, cancelled or interrupted."""
        return self.state != "running"

    def form(self) -> JobForm:
        """Return the job with its progress, skipped files and result."""
        with self._changed:
            return self._form(tuple(self._files), self._result)

    def events(self, after: int = 0) -> list[Event]:
        """Return the events after number `after`, oldest first.

        Those that are no longer stored are replaced by one with the present progress and all skipped files.
        """
        with self._changed:
            found = [event for event in self._events if event.id > after]
            if not found or found[0].id <= after + 1:
                return found
            return [Event(found[0].id - 1, "progress", self._form(tuple(self._files), None).to_json()), *found]

    def wait(self, after: int = 0, *, timeout: float | None = None) -> list[Event]:
        """Return the events after number `after`, waiting for the first; none at the end of the job or of the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._last_event > after or self.ended, timeout)
        return self.events(after)

    def listen(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call`, from the thread of the job, after each event; return a function that ends this."""
        key = object()
        with self._changed:
            self._listeners[key] = call

        def end() -> None:
            with self._changed:
                self._listeners.pop(key, None)

        return end

    def wake(self) -> None:
        """Wake those who wait for events."""
        with self._changed:
            self._changed.notify_all()
            for call in list(self._listeners.values()):
                with suppress(Exception):  # the event loop of a listener may have ended
                    call()

    # For `Jobs`

    def _end(
        self,
        state: JobState,
        *,
        result: Mapping[str, object] | None = None,
        problem: Mapping[str, object] | None = None,
    ) -> None:
        with self._changed:
            self._ended, self._finished = time.monotonic(), _now()
            self._result, self._problem = result, problem
            self.state = state
            self._emit(state)
            self._events = deque(list(self._events)[-EVENTS_OF_ENDED:], maxlen=MOST_EVENTS)

    def _emit(self, name: str) -> None:
        """Add an event and wake those who wait; the caller holds the lock, except in the constructor."""
        with self._changed:
            if self._new_files:
                named = [file.to_json() for file in self._new_files]
                self._add("skipped", {"skipped_files": named, "skipped": self._skipped})
                self._new_files.clear()
            self._add(name, self._form((), self._result).to_json())
            self._reported = time.monotonic()
            self.wake()

    def _add(self, name: str, data: Mapping[str, object]) -> None:
        self._last_event += 1
        self._events.append(Event(self._last_event, name, data))

    def _form(self, files: tuple[SkipForm, ...], result: Mapping[str, object] | None) -> JobForm:
        now = time.monotonic() if self._ended is None else self._ended
        rate = None if self.ended else self._pace.rate(now)
        left = None if self.ended else self._pace.seconds_left(self._total, now)
        return JobForm(
            id=self.id,
            kind=self.kind,
            title=self.title,
            state=self.state,
            stopping=self._stop.is_set() and not self.ended,
            stage=self._stage,
            unit=self._unit,
            done=self._done,
            total=self._total,
            rate=None if rate is None else round(rate, 2),
            seconds=round(now - self._began, 1),
            seconds_left=None if left is None else round(left, 1),
            skipped=self._skipped,
            skipped_files=files,
            started=self._started,
            finished=self._finished or None,
            result=result,
            problem=self._problem,
            again=self.again,
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
