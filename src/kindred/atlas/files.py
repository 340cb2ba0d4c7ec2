"""Files that are either whole or as they were."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kindred.errors import UsageError

__all__ = ["write_whole"]


def write_whole(file: Path, what: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `file` that then takes its place; `what` is what a message calls it.

    Raises UsageError where that is impossible.
    """
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{what} {file} cannot be written: {error.strerror or error}; give a file in a folder that can"
        ) from error
