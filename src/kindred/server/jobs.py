"""Background jobs: work that outlasts a request, in threads, with progress, events, cancellation and a result.

A job is a function of a `Job`, which it tells about its progress and asks whether it is to stop:

    def work(job: Job) -> Form | None:
        for number, each in enumerate(things):
            job.check()
            ...
            job.report(number + 1, len(things))
        return SomeForm(...)

    started = jobs.start("map", "Making the map", work)

A route reaches the jobs of its server by `here.part(Jobs)`. One job of each kind runs at a time. They are listed
until the server ends.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kindred._support.pace import Pace
from kindred.errors import KindredError
from kindred.server.problems import Problem, problem_of
from kindred.server.state import State
from kindred.service.form import Form
from kindred.service.jobs import JobForm, JobsForm, JobState
from kindred.service.library import SkipForm

__all__ = ["MOST_SKIPPED", "Event", "Job", "JobCancelled", "JobRunning", "JobUnknown", "Jobs", "Work"]

MOST_SKIPPED = 1000  # files named per job; the library lists all of them
MOST_EVENTS, EVENTS_OF_ENDED = 500, 20  # stored per job, for a client that was away
MOST_ENDED = 50  # jobs stored after their end
ENDING = 4.5  # seconds that jobs have to stop when the server ends
BETWEEN_EVENTS = 0.2  # seconds between two reports of progress

_log = logging.getLogger("kindred.server")


class JobCancelled(Exception):
    """Raised by a job that stops because it was cancelled, as `Job.check` does; `result`: what it did until then."""

    def __init__(self, result: Form | None = None) -> None:
        super().__init__("cancelled")
        self.result = result


class JobRunning(Problem):
    """A job of this kind is running; `.job` is its id."""

    def __init__(self, running: Job) -> None:
        detail = f"{running.title!r} is running already"
        super().__init__(409, detail, title="A job of this kind is running", hint="wait for its end, or cancel it")
        self.job = running.id


class JobUnknown(Problem):
    """There is no job with this id."""

    def __init__(self, job: str) -> None:
        super().__init__(404, f"there is no job {job[:40]!r}", hint="jobs are forgotten when the server ends")


@dataclass(frozen=True)
class Event:
    """One event of a job: its number from 1, its name (progress, skipped, done, failed, cancelled) and its data."""

    id: int
    name: str
    data: Mapping[str, object]


class Job:
    """One job, running or ended. All methods may be called by any thread."""

    def __init__(self, kind: str, title: str, *, unit: str = "images") -> None:
        self.id, self.kind, self.title = secrets.token_hex(8), kind, title
        self.state: JobState = "running"
        self._stage, self._unit = "", unit
        self._done = self._total = self._skipped = 0
        self._files: list[SkipForm] = []
        self._new_files: list[SkipForm] = []
        self._result: Mapping[str, object] | None = None
        self._problem: Mapping[str, object] | None = None
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._last_event = 0
        self._listeners: dict[object, Callable[[], None]] = {}
        self._began = self._reported = time.monotonic()
        self._ended: float | None = None
        self._pace = Pace(self._began)
        self._started, self._finished = _now(), ""
        self._emit("progress")

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

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
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
        )


Work = Callable[[Job], Form | None]
"""What a job does; the form that it returns is the result."""


class Jobs:
    """The jobs of a server; a part of its state."""

    def __init__(self, _: State | None = None) -> None:
        self._jobs: dict[str, Job] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self.stopped = False
        """Whether the server is ending."""
        self._stopped_at = 0.0

    def start(self, kind: str, title: str, work: Work, *, unit: str = "images") -> Job:
        """Start a job in a thread of its own and return it.

        Raises JobRunning if a job of this kind is running, and a problem 503 if the server is ending.
        """
        with self._lock:
            if self.stopped:
                raise Problem(503, "the server is ending", hint="start the job again when it is back")
            running = next((job for job in self._jobs.values() if job.kind == kind and not job.ended), None)
            if running is not None:
                raise JobRunning(running)
            job = Job(kind, title, unit=unit)
            self._jobs[job.id] = job
            self._forget_old()
            # A daemon: a job that does not stop in time must not keep the process from ending. The library survives it.
            thread = threading.Thread(target=self._run, args=(job, work), name=f"job-{kind}", daemon=True)
            self._threads[job.id] = thread
            thread.start()
        return job

    def get(self, job: str) -> Job:
        """Return a job by id. Raises JobUnknown."""
        with self._lock:
            found = self._jobs.get(job)
        if found is None:
            raise JobUnknown(job)
        return found

    def all(self, kind: str | None = None) -> list[Job]:
        """Return the jobs, of one kind or of all, newest first."""
        with self._lock:
            return [job for job in reversed(self._jobs.values()) if kind in (None, job.kind)]

    def form(self, kind: str | None = None) -> JobsForm:
        """Return the jobs, of one kind or of all, newest first."""
        return JobsForm(tuple(job.form() for job in self.all(kind)))

    def running(self, kind: str) -> Job | None:
        """Return the running job of a kind, if there is one."""
        return next((job for job in self.all(kind) if not job.ended), None)

    def stop(self) -> None:
        """Ask all jobs to stop and accept no others; returns at once."""
        with self._lock:
            if not self.stopped:
                self.stopped, self._stopped_at = True, time.monotonic()
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
            job.wake()

    @property
    def late(self) -> bool:
        """Whether the server is ending and a job that still runs is not waited for any longer by its listeners."""
        return self.stopped and time.monotonic() > self._stopped_at + ENDING / 2

    def close(self, timeout: float = ENDING) -> None:
        """Stop all jobs and wait for them, until `timeout` seconds after the first call of `stop`."""
        self.stop()
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, self._stopped_at + timeout - time.monotonic()))

    def _run(self, job: Job, work: Work) -> None:
        try:
            found = work(job)
            job._end("done", result=None if found is None else found.to_json())
        except JobCancelled as cancelled:
            job._end("cancelled", result=None if cancelled.result is None else cancelled.result.to_json())
        except Exception as error:
            if not isinstance(error, KindredError | Problem):
                _log.exception("job %s (%s) failed", job.id, job.kind)
            job._end("failed", problem=problem_of(error).to_json())
        finally:
            with self._lock:
                self._threads.pop(job.id, None)

    def _forget_old(self) -> None:
        ended = [key for key, job in self._jobs.items() if job.ended]
        for key in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._jobs[key]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
