"""Compute items ahead of time on other threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from kindred._support.forks import ProcessMark

__all__ = ["prefetched"]

I = TypeVar("I")  # noqa: E741 - what goes in
T = TypeVar("T")

WHAT = "this run over many images"


def prefetched(make: Callable[[I], T], items: Iterable[I], *, workers: int = 2, ahead: int = 4) -> Generator[T]:
    """Yield `make(item)` for each item, in order; `workers` threads compute up to `ahead` of them in advance.

    An error in `make` is raised in place of its result. Close the generator if it is not exhausted. A forked child can
    close the generator of its parent, but not go on with it: UsageError.
    """
    waiting: deque[Future[T]] = deque()
    made_in = ProcessMark()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        for item in items:
            made_in.check(WHAT)  # the fork may have been there
            waiting.append(pool.submit(make, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
                made_in.check(WHAT)
        while waiting:
            yield waiting.popleft().result()
            made_in.check(WHAT)
    finally:
        if not made_in.inherited:  # a child lacks the threads, and a lock of theirs may be held for ever
            for future in waiting:
                future.cancel()
            pool.shutdown()
