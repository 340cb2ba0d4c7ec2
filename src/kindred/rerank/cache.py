"""RerankCache: results that re-rankers compute once per gallery, stored in memory and, if wanted, in a folder."""

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
"""Maximum number of cached results and of files: every choice of options makes another one."""
FILES = "rerank-*.npz"
KEY = "cache_key"
FIXED_BYTES, BYTES_AN_IMAGE = 1 << 20, 1 << 16
"""A file larger than this for the size of the gallery is not read."""

log = logging.getLogger(__name__)


class Cacheable(Protocol):
    """A result that can be stored as arrays and restored. KIND: its name, part of the file name."""

    KIND: ClassVar[str]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the data to store, for `numpy.savez`."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore from the arrays of `to_arrays`; raises ModelError for anything else."""
        ...


Made = TypeVar("Made", bound=Cacheable)


class RerankCache:
    """Results that are computed once per gallery, by kind and key, and again when the gallery has changed.

    folder: where they are also stored as files. A file that is missing, damaged or of other vectors is computed again;
    a file that cannot be written is skipped. progress: passed to `make`, called with the images done and their number.
    It may be shared by threads: one computes, the others wait.
    """

    def __init__(self, folder: Path | None = None, *, progress: Progress | None = None) -> None:
        self.progress = progress
        self._folder, self._writes = folder, True
        self._held: OrderedDict[tuple[str, str], tuple[str, Cacheable]] = OrderedDict()
        self._lock = ForkSafeLock()  # reentrant, since one result may need another

    def get(self, kind: type[Made], key: str, make: Callable[[], Made], *, gallery: Gallery) -> Made:
        """Return the result of `make` for a gallery, from memory, from a file, or computed now.

        `key` identifies the options of the computation. The `version` of the gallery is read at every call.
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

    def store_no_more(self) -> None:
        """Write no files from now on; those that are there are read as before."""
        self._writes = False

    def _read(self, kind: type[Made], key: str, version: str, images: int) -> Made | None:
        """Read a file written by `_write` for the same vectors; None if there is none, or it is invalid."""
        if self._folder is None:
            return None
        try:
            file = within(self._folder, _name(kind, key))
            data = read_bounded(file, FIXED_BYTES + BYTES_AN_IMAGE * images)
            arrays = read_npz(data, len(data))  # stored uncompressed: a file that unpacks to more is foreign
            if str(arrays.pop(KEY, "")) != _full_key(key, version):
                return None
            if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
                raise ValueError("numbers that are not finite")
            return kind.from_arrays(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KindredError) as error:
            log.info("a cached result of re-ranking is invalid and will be computed again: %s", error)
            return None

    def _write(self, kind: type[Made], key: str, version: str, made: Made) -> None:
        if self._folder is None or not self._writes:
            return
        # A read-only library can still be searched.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            arrays = {**made.to_arrays(), KEY: np.array(_full_key(key, version))}
            with replacing(self._folder / _name(kind, key)) as part, part.open("xb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option
            newest = sorted(self._folder.glob(FILES), key=lambda file: file.lstat().st_mtime_ns, reverse=True)
            for old in newest[MOST:]:
                old.unlink()


def _name(kind: type[Cacheable], key: str) -> str:
    """Return the file name: the same for all versions of the vectors, so that a new file replaces the old one."""
    return f"rerank-{kind.KIND}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"


def _full_key(key: str, version: str) -> str:
    return f"{version} {key}"
