"""Exit of a command: every error or interrupt becomes an exit code and at most one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from kindred._support.os_errors import explain_os_error
from kindred.cli.output import abandon_output, finish_output, note, prepare_streams, shown
from kindred.cli.signals import INTERRUPTED, exit_code, interrupted
from kindred.errors import KindredError, UsageError

__all__ = ["DONE", "FAILED", "INTERRUPTED", "WRONG_USAGE", "finish", "interruptible"]

DONE, FAILED, WRONG_USAGE = 0, 1, 2


class _Stopped(Exception):
    """Raised after Ctrl-C, with advice on how to continue."""


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """On Ctrl-C, end the command with `advice`: what was saved, and how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        raise _Stopped(advice) from None
    except Exception:
        # An interrupt while a library in C is being imported comes out as its ImportError.
        if interrupted():
            raise _Stopped(advice) from None
        raise


def finish(app: Callable[..., object], arguments: Sequence[str]) -> int:
    """Run `app` with `arguments`; return the exit code."""
    prepare_streams()
    try:
        return _run(app, arguments)
    except BrokenPipeError:  # `kindred … | head`: the reader closed the pipe
        abandon_output()
        return FAILED


def _run(app: Callable[..., object], arguments: Sequence[str]) -> int:
    try:
        code = app(args=list(arguments), prog_name="kindred", standalone_mode=False)
        finish_output()  # here, where a full disk or closed pipe can still be reported
    except _Stopped as stopped:
        return _fail(f"stopped; {stopped}", exit_code())
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", exit_code())
    except Exception as error:
        return _fail("stopped", exit_code()) if interrupted() else _failed(error)
    if code == INTERRUPTED:  # returned by typer after Ctrl-C
        return _fail("stopped", exit_code())
    return code if isinstance(code, int) else DONE


def _failed(error: Exception) -> int:
    """Report an error in one line; raise it if it is a mistake in Kindred."""
    if isinstance(error, KindredError):
        return _fail(str(error), WRONG_USAGE if isinstance(error, UsageError) else FAILED)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        named = f"{shown(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"{named}{explain_os_error(error)}", FAILED)
    # The exceptions that typer raises for unknown options and commands are not public.
    if hasattr(error, "format_message"):
        return _fail(_usage_message(error), WRONG_USAGE)
    raise error


def _usage_message(error: Exception) -> str:
    """Return typer's message as one line that ends with a reference to the help."""
    message = " ".join(str(error.format_message()).split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kindred"
    end = " See" if message.endswith("?") else "; see"
    return f"{message[:1].lower()}{message[1:]}{end} {command} --help"


def _fail(message: str, code: int) -> int:
    note(f"kindred: {' '.join(message.split())}")
    return code
