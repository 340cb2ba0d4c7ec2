"""Threads that work on a library while its server is killed, cut off or frozen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

__all__ = ["work_while"]

PATIENCE = 300.0
"""Seconds after which a call hangs."""


def work_while(
    suffer: Callable[[], None],
    works: Iterable[Callable[[], None]],
    done: threading.Event,
    faults: list[BaseException],
) -> None:
    """Run each of `works` in a thread until `suffer` returns, when `done` is set; fails if one of them hangs then.

    faults: what they raised is added to it at once.
    """

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        suffer()
    finally:
        done.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a call hangs"
