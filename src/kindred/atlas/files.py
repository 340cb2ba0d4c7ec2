"""Write a map's files: each is either whole or as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kindred.errors import UsageError
from kindred.files import replacing

__all__ = ["write_whole"]


def write_whole(file: Path, what: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `file` that then takes its place; `what` is what a message calls it.

    Raises UsageError where that is impossible.
    """
    try:
        with replacing(file) as part:
            write(part)
    except OSError as error:
        raise UsageError(
            f"{what} {file} cannot be written: {error.strerror or error}; give a file in a folder that can"
        ) from error
