"""Work: a bounded number of threads for the calls of routes, and a bounded queue before them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kindred.server.settings import ServerSettings

__all__ = ["Busy", "Lane", "Work"]

T = TypeVar("T")


class Busy(Exception):
    """The queue is full; `seconds` is when a new try may succeed."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the server is busy; try again in {seconds} s")
        self.seconds = seconds


class Lane:
    """A number of threads, and a limited number of calls that wait for one of them."""

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        self.name, self.threads, self.queue = name, threads, queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"kindred-{name}")
        self._lock = threading.Lock()
        self._inside = 0
        self._mean = 0.1
        self.refused = 0

    @property
    def inside(self) -> int:
        """How many calls run or wait."""
        return self._inside

    async def run(self, function: Callable[[], T]) -> T:
        """Return the result of `function`, called in a thread; raises Busy if too many calls wait."""
        with self._lock:
            if self._inside >= self.threads + self.queue:
                self.refused += 1
                raise Busy(max(1, math.ceil(self._mean * self._inside / self.threads)))
            self._inside += 1
        try:
            future = self._pool.submit(self._timed, function)
        except RuntimeError:  # the pool is shut down
            self._left()
            raise Busy(1) from None
        # A call that has begun keeps its place until it ends, even if nobody waits for it any more.
        future.add_done_callback(lambda _: self._left())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop the calls that wait; those that run go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, function: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return function()
        finally:
            self._mean += 0.1 * (time.monotonic() - began - self._mean)

    def _left(self) -> None:
        with self._lock:
            self._inside -= 1


class Work:
    """The lanes of a server: `heavy` calls describe images or search, `pictures` decode images to show them.

    `light` ones only read or write a little.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._heavy = Lane("heavy", threads=settings.heavy, queue=settings.queue)
        self._pictures = Lane("pictures", threads=settings.heavy, queue=2 * settings.queue)
        self._light = Lane("light", threads=settings.light, queue=4 * settings.queue)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes."""
        return self._heavy, self._pictures, self._light

    async def heavy(self, function: Callable[[], T]) -> T:
        """Call a function that describes images or searches; raises Busy."""
        return await self._heavy.run(function)

    async def pictures(self, function: Callable[[], T]) -> T:
        """Call a function that decodes an image to show it; raises Busy."""
        return await self._pictures.run(function)

    async def light(self, function: Callable[[], T]) -> T:
        """Call a function that takes some milliseconds; raises Busy."""
        return await self._light.run(function)

    def close(self) -> None:
        """End all lanes."""
        for lane in self.lanes:
            lane.close()
