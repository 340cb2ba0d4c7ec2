"""The images of a run, decoded once, shrunk, and kept in memory as far as they fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ImageError
from kindred.images import decode, resize

__all__ = ["Pictures", "memory_for_pictures", "read_pictures"]

MEMORY_SHARE = 0.25


def memory_for_pictures() -> int:
    """Return how many bytes decoded images may take: a quarter of the machine's memory."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return 2 << 30


class Pictures:
    """Images by number, each (H, W, 3) uint8 RGB, at most `longest` pixels on the longer side.

    Those that are not `kept` in memory are decoded from their file each time. Safe to read from several threads.
    """

    def __init__(
        self, paths: Sequence[Path], *, longest: int, kept: Mapping[int, NDArray[np.uint8]] | None = None
    ) -> None:
        self.paths = tuple(paths)
        self.longest = longest
        self._kept = dict(kept or {})

    @classmethod
    def of(cls, images: Sequence[NDArray[np.uint8]]) -> Pictures:
        """Take images (H, W, 3) as they are."""
        longest = max((max(image.shape[:2]) for image in images), default=1)
        names = [Path(f"image {number}") for number in range(len(images))]
        return cls(names, longest=longest, kept=dict(enumerate(images)))

    def only(self, numbers: Sequence[int]) -> Pictures:
        """Return the images of these numbers; what is in memory is shared."""
        kept = {place: self._kept[number] for place, number in enumerate(numbers) if number in self._kept}
        return Pictures([self.paths[number] for number in numbers], longest=self.longest, kept=kept)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def kept(self) -> int:
        """How many of the images lie in memory."""
        return len(self._kept)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """Return an image; raises `ImageError` where its file can no longer be read."""
        kept = self._kept.get(number)
        return _read(self.paths[number], self.longest) if kept is None else kept


def read_pictures(
    paths: Sequence[Path],
    *,
    longest: int,
    memory: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Pictures, dict[Path, str]]:
    """Decode every image of `paths`; return those that can be used, in order, and why each of the others cannot.

    `memory` is how many bytes of them are kept, None for a quarter of the machine's. `progress` is called with the
    number of images that were looked at, and of all.
    """
    room = memory_for_pictures() if memory is None else memory
    usable: list[Path] = []
    kept: dict[int, NDArray[np.uint8]] = {}
    refused: dict[Path, str] = {}

    def read(path: Path) -> NDArray[np.uint8] | ImageError:
        try:
            return _read(path, longest)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
        for done, (path, image) in enumerate(zip(paths, pool.map(read, paths), strict=True), 1):
            if isinstance(image, ImageError):
                refused[path] = image.reason
            else:
                if room >= image.nbytes:
                    room -= image.nbytes
                    kept[len(usable)] = image
                usable.append(path)
            if progress is not None:
                progress(done, len(paths))
    return Pictures(usable, longest=longest, kept=kept), refused


def _read(path: Path, longest: int) -> NDArray[np.uint8]:
    return resize(decode(path, longest=longest).pixels, longest=longest)
