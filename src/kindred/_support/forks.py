"""Forks: what a process inherits of its parent and must not use, and what takes its place.

Threads do not come along into a forked process. A lock that another thread held stays held for ever, and a pool of
threads waits for ever for workers that are gone. So locks here are made anew in the child, and what owns threads (a
compiled network) asks `inherited` and makes itself anew. FAISS and OpenCV have pools of their own, which are told to
do without in the child.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from types import TracebackType

__all__ = ["ForkSafeLock", "ProcessMark"]


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

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


_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _in_child() -> None:
    for lock in list(_LOCKS):
        lock.renew()
    # The thread that forked goes on here, without the workers that OpenMP and OpenCV made for it: they would be
    # waited for. Threads that the child starts get workers of their own.
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # 0, no pool; 1 would first wait for the old one to end


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
