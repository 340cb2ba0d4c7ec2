"""Reading remote files ahead of the describer, many at a time, since each takes long to arrive."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kindred._support.prefetch import prefetched
from kindred._support.remote_path import RemotePath
from kindred.describer import Describer, Description, Executor, LocalExecutor
from kindred.errors import RemoteError
from kindred.images import ImageLike
from kindred.images.remote import read_remote
from kindred.library.moves import Seen

__all__ = ["local_executor"]

THREADS = AHEAD = 16
MOST_BYTES = 8 << 20
"""Files up to this size are read in advance, so that at most 256 MB wait; larger ones when their turn comes."""

T = TypeVar("T")


def local_executor(describer: Describer, roots: Sequence[Path]) -> Executor:
    """Return the executor of this process for files below `roots`."""
    return _ReadingAhead(describer) if any(isinstance(root, RemotePath) for root in roots) else LocalExecutor(describer)


class _ReadingAhead:
    """Describes files in this process; remote ones are read in advance."""

    def __init__(self, describer: Describer) -> None:
        self.describer = describer

    def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        """Describe any number of (key, path)."""
        return self.describer.stream(prefetched(_read, items, workers=THREADS, ahead=AHEAD))


def _read(item: tuple[T, Path]) -> tuple[T, ImageLike]:
    """Return the content of a small remote file in place of its path; an error is left to the describer."""
    key, path = item
    if isinstance(path, RemotePath) and isinstance(key, Seen) and key.found.size <= MOST_BYTES:
        with suppress(RemoteError):
            return key, read_remote(path, limit=MOST_BYTES)
    return key, path
