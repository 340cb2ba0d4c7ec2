"""Background jobs: work that outlasts a request, in threads, with progress, events, cancellation and a result.

A job is a function of a `Job`, which it tells about its progress and asks whether it is to stop:

    def work(job: Job) -> Form | None:
        for number, each in enumerate(things):
            job.check()
            ...
            job.report(number + 1, len(things))
        return SomeForm(...)

    started = jobs.start("map", "Making the map", work)

A route reaches the jobs of its server by `here.part(Jobs)`. One job of each kind runs at a time. The last ones are
written into the library, where the next server finds those that were interrupted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kindred.errors import KindredError
from kindred.server.job import MOST_EVENTS, MOST_SKIPPED, Event, Job, JobCancelled
from kindred.server.journal import Journal
from kindred.server.problems import Problem, problem_of
from kindred.server.state import State
from kindred.service.form import Form
from kindred.service.jobs import JobsForm, RequestForm

__all__ = [
    "MOST_ENDED",
    "MOST_EVENTS",
    "MOST_SKIPPED",
    "Event",
    "Job",
    "JobCancelled",
    "JobRunning",
    "JobUnknown",
    "Jobs",
    "Work",
]

MOST_ENDED = 50  # jobs stored after their end
ENDING = 4.5  # seconds that jobs have to stop when the server ends

INTERRUPTED = Problem(
    503,
    "the server ended before this was done; what was done by then is saved",
    title="The job was interrupted",
    hint="start it again to go on",
)

_log = logging.getLogger("kindred.server")


class JobRunning(Problem):
    """A job of this kind is running; `.job` is its id."""

    def __init__(self, running: Job) -> None:
        detail = f"{running.title!r} is running already"
        super().__init__(409, detail, title="A job of this kind is running", hint="wait for its end, or cancel it")
        self.job = running.id


class JobUnknown(Problem):
    """There is no job with this id."""

    def __init__(self, job: str) -> None:
        super().__init__(404, f"there is no job {job[:40]!r}", hint="only the last jobs are remembered")


Work = Callable[[Job], Form | None]
"""What a job does; the form that it returns is the result."""


class Jobs:
    """The jobs of a server; a part of its state."""

    def __init__(self, here: State | None = None) -> None:
        self._jobs: dict[str, Job] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._journal = None if here is None or here.settings.read_only else Journal.of(here.library)
        self._has_read = self._journal is None
        self.stopped = False
        """Whether the server is ending."""
        self._stopped_at = 0.0

    def start(
        self, kind: str, title: str, work: Work, *, unit: str = "images", again: RequestForm | None = None
    ) -> Job:
        """Start a job in a thread of its own and return it; interrupted ones of its kind are forgotten.

        again: the request that starts the same job. Raises JobRunning if a job of this kind is running, and a problem
        503 if the server is ending.
        """
        self._read()
        with self._lock:
            if self.stopped:
                raise Problem(503, "the server is ending", hint="start the job again when it is back")
            running = next((job for job in self._jobs.values() if job.kind == kind and not job.ended), None)
            if running is not None:
                raise JobRunning(running)
            for key in [key for key, job in self._jobs.items() if job.kind == kind and job.state == "interrupted"]:
                del self._jobs[key]
            job = Job(kind, title, unit=unit, again=again)
            self._jobs[job.id] = job
            self._forget_old()
            # A daemon: a job that does not stop in time must not keep the process from ending. The library survives it.
            thread = threading.Thread(target=self._run, args=(job, work), name=f"job-{kind}", daemon=True)
            self._threads[job.id] = thread
            thread.start()
        return job

    def get(self, job: str) -> Job:
        """Return a job by id. Raises JobUnknown."""
        self._read()
        with self._lock:
            found = self._jobs.get(job)
        if found is None:
            raise JobUnknown(job)
        return found

    def all(self, kind: str | None = None) -> list[Job]:
        """Return the jobs, of one kind or of all, newest first."""
        self._read()
        with self._lock:
            return [job for job in reversed(self._jobs.values()) if kind in (None, job.kind)]

    def forget(self, job: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            if job in self._jobs and self._jobs[job].ended:
                del self._jobs[job]
        self._write()

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
            job.interrupt()
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
        if self._journal is not None:
            self._journal.close()

    def _run(self, job: Job, work: Work) -> None:
        self._write()
        try:
            found = work(job)
            job._end("done", result=None if found is None else found.to_json())
        except JobCancelled as cancelled:
            result = None if cancelled.result is None else cancelled.result.to_json()
            if job.interrupted:
                job._end("interrupted", result=result, problem=INTERRUPTED.to_json())
            else:
                job._end("cancelled", result=result)
        except Exception as error:
            if not isinstance(error, KindredError | Problem):
                _log.exception("job %s (%s) failed", job.id, job.kind)
            job._end("failed", problem=problem_of(error).to_json())
        finally:
            self._write()
            with self._lock:
                self._threads.pop(job.id, None)

    def _read(self) -> None:
        """Add the jobs of earlier servers, as soon as no other server of the library runs."""
        if self._has_read or self._journal is None:
            return
        with self._writing:
            found = None if self._has_read else self._journal.read()
            if found is None:
                return
            self._has_read = True
        before = {each.id: Job.before(each, INTERRUPTED.to_json()) for each in found}
        with self._lock:
            self._jobs = {**before, **self._jobs}

    def _write(self) -> None:
        """Write all jobs into the journal."""
        if self._journal is None:
            return
        self._read()
        with self._writing:
            if self._has_read:
                self._journal.write([job.form() for job in reversed(self.all())])

    def _forget_old(self) -> None:
        ended = [key for key, job in self._jobs.items() if job.ended]
        for key in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._jobs[key]
