"""The images of a run: decoded once, reduced to the size needed, and held in memory as far as possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ImageError
from kindred.images import decode, resize

__all__ = ["ImageCache", "image_memory", "read_images"]

MEMORY_SHARE = 0.25


def image_memory() -> int:
    """Return the number of bytes for decoded images: a quarter of the machine's memory."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    except (AttributeError, ValueError, OSError):  # not every system reports it
        return 2 << 30


class ImageCache:
    """Images by index, each (H, W, 3) uint8 RGB, at most `longest` pixels on the longer side.

    cached: index → pixels of those in memory; the others are decoded from their file at each access. May be read
    from several threads.
    """

    def __init__(
        self, paths: Sequence[Path], *, longest: int, cached: Mapping[int, NDArray[np.uint8]] | None = None
    ) -> None:
        self.paths = tuple(paths)
        self.longest = longest
        self._cached = dict(cached or {})

    @classmethod
    def from_arrays(cls, images: Sequence[NDArray[np.uint8]]) -> ImageCache:
        """Create a cache of images (H, W, 3) uint8 RGB in memory."""
        longest = max((max(image.shape[:2]) for image in images), default=1)
        names = [Path(f"image {index}") for index in range(len(images))]
        return cls(names, longest=longest, cached=dict(enumerate(images)))

    def subset(self, indices: Sequence[int]) -> ImageCache:
        """Return the images of these indices, in this order; memory is shared."""
        cached = {place: self._cached[index] for place, index in enumerate(indices) if index in self._cached}
        return ImageCache([self.paths[index] for index in indices], longest=self.longest, cached=cached)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def cached(self) -> int:
        """How many of the images are in memory."""
        return len(self._cached)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return an image; raises ImageError if its file can no longer be read."""
        cached = self._cached.get(index)
        return _read(self.paths[index], self.longest) if cached is None else cached


def read_images(
    paths: Sequence[Path],
    *,
    longest: int,
    memory: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageCache, dict[Path, str]]:
    """Decode every image of `paths`; return the usable ones, in order, and the reason for each skipped one.

    longest: maximum length of the longer side in pixels. memory: bytes that may be cached; None for a quarter of the
    machine's memory. workers: threads. progress: called with the number of images read so far and the total.
    """
    room = image_memory() if memory is None else memory
    usable: list[Path] = []
    cached: dict[int, NDArray[np.uint8]] = {}
    skipped: dict[Path, str] = {}

    def read(path: Path) -> NDArray[np.uint8] | ImageError:
        try:
            return _read(path, longest)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        for done, (path, image) in enumerate(zip(paths, pool.map(read, paths), strict=True), 1):
            if isinstance(image, ImageError):
                skipped[path] = image.reason
            else:
                if room >= image.nbytes:
                    room -= image.nbytes
                    cached[len(usable)] = image
                usable.append(path)
            if progress is not None:
                progress(done, len(paths))
    return ImageCache(usable, longest=longest, cached=cached), skipped


def _read(path: Path, longest: int) -> NDArray[np.uint8]:
    return resize(decode(path, longest=longest).pixels, longest=longest)
