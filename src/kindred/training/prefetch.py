"""Batches made ahead of time, on other threads, while the network learns from those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


def prefetched(make: Callable[[int], T], numbers: Iterable[int], *, workers: int = 2, ahead: int = 4) -> Generator[T]:
    """Yield `make(number)` for each number, in order, up to `ahead` of them made in advance by `workers` threads.

    An error of `make` is raised where its batch would have come. Closing the iterator ends the work.
    """
    waiting: deque[Future[T]] = deque()
    coming = iter(numbers)
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        try:
            for number in coming:
                waiting.append(pool.submit(make, number))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
