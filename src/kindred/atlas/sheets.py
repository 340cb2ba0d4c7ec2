"""Sheets: the thumbnails of many images in one picture, made when they are first needed and cached.

A sheet has up to 2,048 × 2,048 pixels, in square cells of 32 or 128 pixels, row by row in the order of the map: 4,096
or 256 images. A thumbnail lies in the top left corner of its cell, with the shape of its image.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.cores import usable_cores
from kindred._support.files import check_plain, read_bounded, replacing, within
from kindred.arrays import check_whole
from kindred.atlas.map_file import FOLDER
from kindred.errors import ImageError, UsageError
from kindred.images import decode, stretch
from kindred.images.formats import is_webp

__all__ = ["CELLS", "MOST_ELONGATED", "SIDE", "Sheets", "SheetsBusy", "Thumbnails", "sheet_count", "thumbnail_size"]

Pixels = NDArray[np.uint8]
Thumbnails = Callable[[str, Path, int], Pixels | None]
"""Returns an image by id and path, with a longer side of at least so many pixels; None if it cannot be read."""

SIDE = 2048
"""Largest side of a sheet in pixels."""
CELLS = (32, 128)
"""Sides of a cell in pixels."""
MOST_ELONGATED = 3.0
"""A thumbnail is at most this many times as long as it is wide; of longer images the middle is shown."""
MOST_BYTES = 512_000_000
"""Size of all cached sheets of a library; those not used for the longest time are deleted."""
SHEET_BYTES = 32_000_000
"""A sheet has at most so many bytes: 2 MB in practice."""
GREY = 128
QUALITY = 82
VERSION = 1
AT_ONCE = 3
"""Sheets that are made at a time."""
WAIT = 20.0
"""Seconds to wait for a sheet that is being made, or until another one is finished."""


class SheetsBusy(Exception):
    """Too many sheets are being made; try again later."""


class Sheets:
    """The sheets of a library's maps.

    library: its folder; sheets are cached in it, named after their images, so that maps with the same part share them.
    thumbnails: how an image is read; the default decodes its file. most_bytes: the limit of the cache. stored_in:
    another folder for new sheets; those in the library are still read. A sheet that several threads want is made once.
    Where nothing can be written, nothing is cached.
    """

    def __init__(
        self,
        library: Path,
        *,
        thumbnails: Thumbnails | None = None,
        most_bytes: int = MOST_BYTES,
        stored_in: Path | None = None,
    ) -> None:
        self._thumbnails, self._most_bytes = thumbnails or _from_file, most_bytes
        self._folder = library if stored_in is None else stored_in
        self._folders = [self._folder, *([] if self._folder == library else [library])]
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._lock, self._making = threading.Lock(), dict[str, threading.Lock]()

    def get(
        self,
        uids: Sequence[str],
        paths: Sequence[Path],
        sizes: NDArray[np.int32],
        cell: int,
        *,
        wait: float | None = WAIT,
    ) -> bytes:
        """Return the sheet of these images as WebP.

        sizes: (n, 2), their widths and heights. wait: seconds to wait while this sheet or several others are made;
        then SheetsBusy is raised; None: without end. Raises UsageError for another size of cells and for too many
        images.
        """
        check_cell(cell)
        check_whole(images=len(uids))
        if len(uids) > (SIDE // cell) ** 2:
            raise UsageError(f"images: got {len(uids):,}; expected at most {(SIDE // cell) ** 2:,} in cells of {cell}")
        name = _name(uids, cell)
        found = self._read(name)
        if found is not None:
            return found
        with self._in_turn(name, -1 if wait is None else wait):
            found = self._read(name)  # another thread may have made it
            if found is None:
                found = _encoded(self._drawn(uids, paths, sizes, cell))
                self._write(name, found)
        return found

    def cached(self, uids: Sequence[str], cell: int) -> bool:
        """Return whether the sheet of these images is in the cache."""
        return any(_is_file(folder, _name(uids, cell)) for folder in self._folders)

    @contextmanager
    def _in_turn(self, name: str, wait: float) -> Iterator[None]:
        """Wait until nobody makes this sheet and fewer than `AT_ONCE` others are made; raises SheetsBusy."""
        with self._lock:
            own = self._making.setdefault(name, threading.Lock())
        if not own.acquire(timeout=wait):
            raise SheetsBusy
        try:
            if not self._places.acquire(timeout=wait):
                raise SheetsBusy
            try:
                yield
            finally:
                self._places.release()
        finally:
            own.release()
            with self._lock:
                self._making.pop(name, None)

    def _drawn(self, uids: Sequence[str], paths: Sequence[Path], sizes: NDArray[np.int32], cell: int) -> Pixels:
        across = SIDE // cell
        rows = -(-len(uids) // across)
        sheet = np.full((rows * cell, min(across, len(uids)) * cell, 3), GREY, np.uint8)

        def draw(at: int) -> None:
            width, height = thumbnail_size(int(sizes[at, 0]), int(sizes[at, 1]), cell)
            pixels = self._thumbnails(uids[at], paths[at], cell)
            if pixels is not None:
                top, left = at // across * cell, at % across * cell
                sheet[top : top + height, left : left + width] = _fitted(pixels, width, height)

        with ThreadPoolExecutor(usable_cores(), thread_name_prefix="kindred-sheet") as threads:
            for _ in threads.map(draw, range(len(uids))):
                pass
        return sheet

    def _read(self, name: str) -> bytes | None:
        for folder in self._folders:
            data = _read(folder, name)
            if data is not None:
                with suppress(OSError):
                    os.utime(within(self._folder, f"{FOLDER}/{name}"))  # it was used: others are deleted first
                return data
        return None

    def _write(self, name: str, data: bytes) -> None:
        with suppress(OSError):
            folder = within(self._folder, FOLDER)
            folder.mkdir(exist_ok=True)
            self._make_room(folder, len(data))
            with replacing(folder / name) as part, part.open("xb") as stream:
                stream.write(data)

    def _make_room(self, folder: Path, size: int) -> None:
        """Delete the sheets used longest ago until one of `size` bytes fits."""
        known = sorted((file.lstat().st_mtime_ns, file.lstat().st_size, file) for file in folder.glob("sheet-*.webp"))
        total = size + sum(each for _, each, _ in known)
        for _, each, file in known:
            if total <= self._most_bytes:
                return
            file.unlink(missing_ok=True)
            total -= each


def _is_file(folder: Path, name: str) -> bool:
    try:
        return within(folder, f"{FOLDER}/{name}").is_file()
    except OSError:
        return False


def _read(folder: Path, name: str) -> bytes | None:
    """Return a stored sheet, if there is one."""
    try:
        file = within(folder, f"{FOLDER}/{name}")
        check_plain(file)
        data = read_bounded(file, SHEET_BYTES)
    except OSError:
        return None
    return data if is_webp(data) else None


def check_cell(cell: int) -> None:
    """Raise UsageError for a size of cells that sheets do not have."""
    if cell not in CELLS:
        raise UsageError(f"cell is {cell}; expected {' or '.join(map(str, CELLS))}")


def sheet_count(images: int, cell: int) -> int:
    """Return the number of sheets of so many images."""
    return -(-images // (SIDE // cell) ** 2)


def thumbnail_size(width: int, height: int, cell: int) -> tuple[int, int]:
    """Return width and height of the thumbnail of an image in a cell; a square if its size is unknown (0).

    The page computes the same from the shapes of the images.
    """
    aspect = min(MOST_ELONGATED, max(1 / MOST_ELONGATED, width / height)) if width and height else 1.0
    return max(1, round(cell * min(1.0, aspect))), max(1, round(cell / max(1.0, aspect)))


def _fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the middle of an image (H, W, 3) with the shape of width × height, scaled to it."""
    own_height, own_width = pixels.shape[:2]
    scale = min(own_width / width, own_height / height)
    across, down = (max(1, min(most, round(side * scale))) for side, most in ((width, own_width), (height, own_height)))
    left, top = (own_width - across) // 2, (own_height - down) // 2
    return stretch(np.ascontiguousarray(pixels[top : top + down, left : left + across]), height=height, width=width)


def _from_file(_uid: str, path: Path, longest: int) -> Pixels | None:
    try:
        return decode(path, longest=longest).pixels
    except ImageError:
        return None


def _encoded(sheet: Pixels) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "WEBP", quality=QUALITY, method=2)
    return stream.getvalue()


def _name(uids: Sequence[str], cell: int) -> str:
    digest = hashlib.sha256(f"{VERSION} {cell} {' '.join(uids)}".encode()).hexdigest()
    return f"sheet-{cell}-{digest[:20]}.webp"
