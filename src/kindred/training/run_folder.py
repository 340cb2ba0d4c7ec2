"""The folder of a run: the names of its files, an exclusive lock, and checks of its contents.

A run resumes from the files that it finds there. The folder may come from elsewhere, so only regular files of bounded
size are opened: a link could lead to any file of the user, a pipe would block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kindred._support.os_errors import explain_os_error
from kindred.errors import TrainingError

__all__ = ["BEST", "CHECKPOINT", "LOCK", "LOG", "REPORT", "check_file", "exclusive_run_folder"]

CHECKPOINT, BEST, LOCK = "checkpoint.safetensors", "best.safetensors", "lock"
LOG, REPORT = "log.csv", "report.html"


def check_file(file: Path, *, max_bytes: int) -> None:
    """Raise TrainingError unless `file` is a regular file, not a link, of at most `max_bytes` bytes."""
    if file.is_symlink() or not file.is_file():
        raise TrainingError(f"{file}: not a regular file; a run only resumes from its own files: remove it")
    size = file.stat().st_size
    if size > max_bytes:
        raise TrainingError(f"{file}: {size:,} bytes; expected at most {max_bytes:,} for this run: remove it")


@contextmanager
def exclusive_run_folder(folder: Path, *, is_main: bool) -> Iterator[None]:
    """Create the folder of a run, lock it for this process, and remove unfinished files of a killed run.

    Processes other than the main one neither lock nor write. Raises TrainingError if another process trains in the
    folder, or if it cannot be used.
    """
    if not is_main:
        yield
        return
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"{folder}: the folder of the run cannot be created ({explain_os_error(error, folder)})"
        ) from error
    if (folder / LOCK).is_symlink():  # a link would be followed, and its target truncated
        raise TrainingError(f"{folder / LOCK}: not a regular file; remove it")
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(f"{folder}: another process trains here; wait for it, or give another output") from None
    except OSError as error:
        raise TrainingError(
            f"{folder / LOCK}: the folder cannot be locked ({explain_os_error(error, folder)})"
        ) from error
    try:
        for name in (CHECKPOINT, BEST, LOG, REPORT):
            for part in folder.glob(f".{name}.*.part"):
                with suppress(OSError):
                    part.unlink()
        yield
    finally:
        lock.release()
