"""Signals that end a command: each becomes an interrupt that lets what is under way be saved, and an exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTED", "exit_code", "interrupts"]

INTERRUPTED = 128 + signal.SIGINT
"""What a shell reports of a command that Ctrl-C ended."""

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _Interrupt(KeyboardInterrupt):
    """What is raised; Python ends itself by SIGINT where it has once seen a KeyboardInterrupt itself leave `exec`."""


class _Received:
    """The first signal that came, None as long as none did."""

    number: int | None = None


def exit_code() -> int:
    """Return the exit code of an interrupted command: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return INTERRUPTED if _Received.number is None else 128 + _Received.number


@contextmanager
def interrupts(*, ctrl_c: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt within at SIGTERM and SIGHUP, and with `ctrl_c` at SIGINT, as Ctrl-C does.

    One is enough: what was described is being committed then, which a second one must not cut off. The third ends the
    process at once. A signal that is ignored from the start, as under nohup, stays ignored. Afterwards Ctrl-C ends the
    process without a word: all is done.
    """
    _Received.number = None
    if ctrl_c:
        signal.signal(signal.SIGINT, _end)
    for number in _ENDING:
        if number != signal.SIGINT and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number in _ENDING:
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    if _Received.number is None:
        _Received.number = number
        raise _Interrupt
    signal.signal(number, signal.SIG_DFL)
