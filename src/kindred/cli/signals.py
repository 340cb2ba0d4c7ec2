"""Signals that end a command: each becomes a KeyboardInterrupt, so that results are saved, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTED", "exit_code", "interrupted", "interrupts"]

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command ended by Ctrl-C, by convention of shells."""

SWALLOWED_SECONDS = 0.05

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _Interrupt(KeyboardInterrupt):
    """A subclass, since Python kills its own process with SIGINT after an exact KeyboardInterrupt has left `exec`."""


class _Received:
    """The first signal received, None if there was none."""

    number: int | None = None


def exit_code() -> int:
    """Return the exit code of an interrupted command: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return INTERRUPTED if _Received.number is None else 128 + _Received.number


def interrupted() -> bool:
    """Whether a signal has been received that ends the command."""
    return _Received.number is not None


@contextmanager
def interrupts(*, ctrl_c: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on SIGTERM and SIGHUP, and with `ctrl_c` also on SIGINT.

    A second signal is ignored, so that it cannot interrupt the commit that the first one starts; the third ends the
    process at once. A signal that is ignored from the start, as under nohup, stays ignored. After the block, Ctrl-C
    ends the process silently.
    """
    _Received.number = None
    hook, sys.unraisablehook = sys.unraisablehook, _again_if_swallowed
    if ctrl_c:
        signal.signal(signal.SIGINT, _end)
    for number in _ENDING:
        if number != signal.SIGINT and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in _ENDING:
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    if _Received.number is None:
        _Received.number = number
        raise _Interrupt
    signal.signal(number, signal.SIG_DFL)


def _again_if_swallowed(swallowed: sys.UnraisableHookArgs) -> None:
    """Interrupt again where the first KeyboardInterrupt was raised in a destructor or callback, which drops it."""
    number = _Received.number
    if number is None or not isinstance(swallowed.exc_value, _Interrupt):
        sys.__unraisablehook__(swallowed)
        return
    import threading

    _Received.number = None
    threading.Timer(SWALLOWED_SECONDS, os.kill, (os.getpid(), number)).start()  # when the destructor has returned
