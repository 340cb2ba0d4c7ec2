"""Meter: the progress of a long task, on standard error."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kindred._support.pace import Pace
from kindred._support.printable import printable
from kindred.cli.output import console, duration, is_terminal, note

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Meter"]

DELAY = 1.0  # seconds; shorter tasks show nothing
LINE_EVERY = 10.0  # seconds between lines without a terminal


class Meter:
    """Show the progress of a task: a bar with rate and remaining time on a terminal, else a line every ten seconds.

    The lines come whether or not there is progress, so that a long step is never silent. Tasks shorter than a second
    show nothing. `quiet` suppresses the lines, for output that a program reads.
    """

    def __init__(self, title: str, *, unit: str = "images", quiet: bool = False) -> None:
        self.title, self.unit, self.quiet = title, unit, quiet
        self.aside = ""
        self._done, self._total = 0, 0
        self._bar: Progress | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # A timer, since the first call of `update` may come late.
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True
        self._began = time.monotonic()
        self._line_due = self._began + LINE_EVERY
        self._pace = Pace(self._began, window=LINE_EVERY)

    def __enter__(self) -> Self:
        self._terminal = is_terminal()
        if self._terminal:
            self._timer.start()
        elif not self.quiet:
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._closed.set()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()

    def begin(self, title: str, *, unit: str = "images", done: int = 0) -> None:
        """Begin a new phase of the task, with a rate of its own; `done` were finished before, as in a resumed run."""
        with self._lock:
            self.title, self.unit = title, unit
            self._done, self._total = done, 0
            self._began = time.monotonic()
            self._pace = Pace(self._began, done=done, window=LINE_EVERY)
            if self._bar is not None:
                self._bar.reset(self._bar.tasks[0].id, completed=done)
            self._refresh()

    def update(self, done: int, total: int, *, aside: str = "") -> None:
        """Report that `done` of `total` are finished (0: unknown total); `aside` is shown after the rate."""
        if done < self._done:
            self.begin(self.title, unit=self.unit)
        with self._lock:
            self._done, self._total, self.aside = done, total, aside
            self._pace.note(done, time.monotonic())
            self._refresh()
            self._print_due_line()

    def stage(self, title: str, done: int, total: int, *, unit: str | None = None) -> None:
        """Report that `done` of `total` of a phase are finished, which begins with its first report.

        Its rate counts what is finished after that: what was before may be of a run that was interrupted.
        """
        if title != self.title:
            self.begin(title, unit=unit or self.unit, done=done)
        self.update(done, total)

    def _show(self) -> None:
        """Show the bar; called after `DELAY`."""
        from rich import progress as parts

        bar = parts.Progress(
            parts.TextColumn("{task.description}", markup=False),
            parts.BarColumn(bar_width=30),
            parts.TextColumn("{task.fields[count]}", markup=False),
            parts.TextColumn("{task.fields[pace]}", markup=False),
            parts.TimeRemainingColumn(compact=True),
            parts.TextColumn("left"),
            parts.TextColumn("{task.fields[aside]}", markup=False),
            console=console(),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._lock:
            if self._closed.is_set():
                return
            bar.add_task(printable(self.title), total=None, count="", pace="", aside="")
            bar.start()
            self._bar = bar
            self._refresh()

    def _refresh(self) -> None:
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        speed = task.finished_speed or task.speed
        self._bar.update(
            task.id,
            description=printable(self.title),
            completed=self._done,
            total=self._total or None,
            count=f"{self._done:,} of {self._total:,} {self.unit}" if self._total else "",
            pace=f"{speed:,.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "",
            aside=printable(self.aside),
        )

    def _print_lines(self) -> None:
        """Print a line whenever one is due, until the end; runs in a thread."""
        while not self._closed.wait(LINE_EVERY):
            with self._lock:
                self._print_due_line()

    def _print_due_line(self) -> None:
        now = time.monotonic()
        if self._terminal or self.quiet or self._closed.is_set() or now < self._line_due:
            return
        rate, remaining = self._pace.rate(now), self._pace.seconds_left(self._total, now)
        pace = "" if rate is None else f", {rate:,.1f}/s"
        left = "" if remaining is None else f", {duration(remaining)} left"
        of = f" of {self._total:,}" if self._total else ""
        aside = f", {self.aside}" if self.aside else ""
        counts = f"{self._done:,}{of} {self.unit}{pace}{left}{aside}"
        note(f"{self.title}: {counts if self._done or self._total else f'{duration(now - self._began)} so far'}")
        self._line_due = now + LINE_EVERY
