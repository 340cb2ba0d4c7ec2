"""Compute items ahead of time on other threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

I = TypeVar("I")  # noqa: E741 - what goes in
T = TypeVar("T")


def prefetched(make: Callable[[I], T], items: Iterable[I], *, workers: int = 2, ahead: int = 4) -> Generator[T]:
    """Yield `make(item)` for each item, in order; `workers` threads compute up to `ahead` of them in advance.

    An error in `make` is raised in place of its result. Close the generator if it is not exhausted.
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
