"""Run something in a forked child, and notice where it hangs."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable

import pytest

PATIENCE = 120
"""Seconds after which a child hangs: it guards the tests, and measures nothing."""


def in_fork(action: Callable[[], object]) -> bool:
    """Return whether `action` gives something true in a forked child; fail where the child hangs."""
    child = os.fork()
    if not child:
        done = False
        try:
            done = bool(action())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0 if done else 1)
    return succeeds(child)


def succeeds(child: int) -> bool:
    """Return whether a forked child ends with status 0; fail where it hangs."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the forked child hangs: it was not done in {PATIENCE} s")
