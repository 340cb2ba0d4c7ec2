"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kindred.errors import UsageError

__all__ = ["replacing", "write_whole"]


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a path beside `file` to write to; what is there takes the place of `file` at the end.

    After an error nothing is left and `file` is as it was. Raises OSError where there is no room or right to write.
    """
    # Another writer of the same file, a process or a thread, has a part of its own.
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_whole(file: Path, what: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that a user asked for, by `replacing` it; `what` is what a message calls it.

    Raises UsageError where that is impossible.
    """
    try:
        with replacing(file) as part:
            write(part)
    except OSError as error:
        raise UsageError(
            f"{what} {file} cannot be written: {error.strerror or error}; give a file in a folder that can"
        ) from error
