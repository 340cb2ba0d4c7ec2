"""Forks: what a process inherits of its parent and must not use, and what takes its place.

Threads do not come along into a forked process. A lock that another thread held stays held for ever, and a pool of
threads waits for ever for workers that are gone. So locks here are made anew in the child, and what owns threads (a
compiled network) asks `inherited` and makes itself anew. FAISS and OpenCV have pools of their own, which are told to
do without in the child.

What such threads work on, such as the requests of a network that runs, is never freed in the child, not even when the
child ends: its destructor would wait for them.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from kindred.errors import UsageError

__all__ = ["ForkSafeLock", "ProcessMark", "abandon", "not_freed_in_children", "renewed_in_children"]


class Renewable(Protocol):
    """What is to be made anew in a forked child."""

    def renew(self) -> None:
        """Replace what belongs to the parent; called in the child, before anything else runs there."""


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        renewed_in_children(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock by a free one."""
        self._lock = threading.RLock()


class ProcessMark:
    """Remembers the process that it was made in."""

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this process is a forked child of that one."""
        return os.getpid() != self._process

    def check(self, what: str) -> None:
        """Raise `UsageError` in a forked child, where `what` cannot go on."""
        if self.inherited:
            raise UsageError(f"{what} belongs to the process that was forked; start another one in the child")


_RENEWED: weakref.WeakSet[Renewable] = weakref.WeakSet()
POOLS = (("faiss", "omp_set_num_threads", 1), ("cv2", "setNumThreads", 0))
"""Modules, and what ends the use of their workers: 0, no pool; 1 of OpenCV would first wait for the old one to end."""
_IN_USE: dict[object, object] = {}
"""What threads of this process work on now, by a key of its own."""


def renewed_in_children(thing: Renewable) -> None:
    """Have an object renewed in every forked child, as long as it lives."""
    _RENEWED.add(thing)


@contextmanager
def not_freed_in_children(thing: object) -> Iterator[None]:
    """Within the block, `thing` is used by threads of this process: a child forked meanwhile never frees its copy."""
    key = object()
    _IN_USE[key] = thing
    try:
        yield
    finally:
        _IN_USE.pop(key, None)


def abandon(thing: object) -> None:
    """Never free an object in this process, not even when the process ends and the modules are emptied."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for each in list(_RENEWED):
        each.renew()
    for thing in _IN_USE.values():
        abandon(thing)
    _IN_USE.clear()
    # The thread that forked goes on here, without the workers that OpenMP and OpenCV made for it: they would be
    # waited for. Threads that the child starts get workers of their own. A module that another thread was importing
    # has neither functions nor workers yet.
    for name, function, threads in POOLS:
        if (limit := getattr(sys.modules.get(name), function, None)) is not None:
            limit(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
