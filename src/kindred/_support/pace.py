"""Pace: the rate of a task over its last seconds, and the time that is left at that rate."""

from __future__ import annotations

from collections import deque

__all__ = ["Pace"]

SAMPLES_PER_WINDOW = 50


class Pace:
    """The progress of a task over the last `window` seconds, so that a rate follows the work of the moment.

    A run that first passes over unchanged files and then describes new ones has the rate of what it does now. Times are
    seconds of a monotonic clock, given by the caller. `done`: items finished before the start, as in a resumed run.
    """

    def __init__(self, now: float, *, done: int = 0, window: float = 10.0) -> None:
        self._window, self._every = window, window / SAMPLES_PER_WINDOW
        self._samples: deque[tuple[float, int]] = deque([(now, done)])
        self._last = now, done

    def note(self, done: int, now: float) -> None:
        """Record that `done` items are finished."""
        self._last = now, done
        if now - self._samples[-1][0] >= self._every:
            self._samples.append(self._last)
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._window:
            self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Return the items per second; None before any is finished, and in the first moment, which says nothing."""
        began, before = self._samples[0]
        done = self._last[1] - before
        seconds = now - began
        if seconds < self._every or (done <= 0 and len(self._samples) == 1):
            return None
        return max(done, 0) / seconds

    def seconds_left(self, total: int, now: float) -> float | None:
        """Return the seconds until `total` items are finished at the present rate; None if that is unknown."""
        rate = self.rate(now)
        if not rate or total <= 0:
            return None
        return max(total - self._last[1], 0) / rate
