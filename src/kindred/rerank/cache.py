"""RerankCache: what re-rankers compute once for a gallery, stored in memory and, where wanted, in a folder."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import read_bounded, replacing, within
from kindred._support.forks import ForkSafeLock
from kindred._support.npz import read_npz
from kindred.errors import KindredError
from kindred.rerank.context import Gallery
from kindred.rerank.neighbours import Progress

__all__ = ["Cacheable", "RerankCache"]

MOST = 8
"""So many results are held, and so many files: options come from outside, and each choice of them is another one."""
FILES = "rerank-*.npz"
KEY = "cache_key"
FIXED_BYTES, BYTES_AN_IMAGE = 1 << 20, 1 << 16
"""A file that is larger than this for the gallery is not read."""

log = logging.getLogger(__name__)


class Cacheable(Protocol):
    """What can be stored: it goes into arrays and comes back. KIND: its name in that of the file."""

    KIND: ClassVar[str]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be stored, for `numpy.savez`."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `to_arrays` returned; raises ModelError for anything else."""
        ...


Made = TypeVar("Made", bound=Cacheable)


class RerankCache:
    """Results that are computed once for a gallery, by kind and key, and again as soon as the gallery has changed.

    folder: where they are also stored as files; a file that is missing, damaged or of other vectors is made again, and
    one that cannot be written is done without. progress: what `make` may report to, with the images done and their
    number. Threads may share it: one computes, the others wait.
    """

    def __init__(self, folder: Path | None = None, *, progress: Progress | None = None) -> None:
        self.progress = progress
        self._folder = folder
        self._held: OrderedDict[tuple[str, str], tuple[str, Cacheable]] = OrderedDict()
        self._lock = ForkSafeLock()  # entered again where what is made needs another

    def get(self, kind: type[Made], key: str, make: Callable[[], Made], *, gallery: Gallery) -> Made:
        """Return what `make` makes of a gallery: from memory, from a file, or made now.

        `key` names the options that it is made with. The gallery's `version` is read at every call.
        """
        with self._lock:
            version, place = gallery.version, (kind.KIND, key)
            held = self._held.get(place)
            if held is not None and held[0] == version:
                self._held.move_to_end(place)
                return cast(Made, held[1])
            self._held.pop(place, None)
            found = self._read(kind, key, version, len(gallery))
            if found is None:
                found = make()
                self._write(kind, key, version, found)
            self._held[place] = version, found
            while len(self._held) > MOST:
                self._held.popitem(last=False)
            return found

    def _read(self, kind: type[Made], key: str, version: str, images: int) -> Made | None:
        """Read what `_write` wrote of the same vectors; None where there is nothing, or nothing sound."""
        if self._folder is None:
            return None
        try:
            file = within(self._folder, _name(kind, key))
            data = read_bounded(file, FIXED_BYTES + BYTES_AN_IMAGE * images)
            arrays = read_npz(data, len(data))  # they are stored as they are: what unpacks to more is another's
            if str(arrays.pop(KEY, "")) != _full_key(key, version):
                return None
            if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
                raise ValueError("numbers that are not finite")
            return kind.from_arrays(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KindredError) as error:
            log.info("what re-ranking had computed is computed again: %s", error)
            return None

    def _write(self, kind: type[Made], key: str, version: str, made: Made) -> None:
        if self._folder is None:
            return
        # A library that only may be read is searched all the same.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            arrays = {**made.to_arrays(), KEY: np.array(_full_key(key, version))}
            with replacing(self._folder / _name(kind, key)) as part, part.open("xb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option
            newest = sorted(self._folder.glob(FILES), key=lambda file: file.lstat().st_mtime_ns, reverse=True)
            for old in newest[MOST:]:
                old.unlink()


def _name(kind: type[Cacheable], key: str) -> str:
    """Return the name of a file: the same for all versions of the vectors, so that a new one replaces the old."""
    return f"rerank-{kind.KIND}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"


def _full_key(key: str, version: str) -> str:
    return f"{version} {key}"
