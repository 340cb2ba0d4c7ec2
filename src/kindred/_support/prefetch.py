"""Make things ahead of time, on other threads, while those before are at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

I = TypeVar("I")  # noqa: E741 - what goes in
T = TypeVar("T")


def prefetched(make: Callable[[I], T], items: Iterable[I], *, workers: int = 2, ahead: int = 4) -> Generator[T]:
    """Yield `make(item)` for each item, in order, up to `ahead` of them made in advance by `workers` threads.

    An error of `make` is raised where what it makes would have come. Close it where it is left early.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
