"""A map of a library: which images, where they lie, what they look like."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import write_whole
from kindred.arrays import Vectors, check_whole
from kindred.errors import ImageError, UsageError
from kindred.images import decode, resize
from kindred.manifold.embedding import check_enough
from kindred.manifold.maps import check_map, manifold_map
from kindred.store import Filter, Store

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["LibraryMap", "map_library", "write_coordinates"]

Pixels = NDArray[np.uint8]

CHUNK = 1000
"""Vectors asked about at a time."""
WAITING = 64
"""Images decoded at a time."""


@dataclass(frozen=True, eq=False)
class LibraryMap:
    """Images of a library and where they lie.

    paths: n. points: (n, 2) float32, as the method gives them; only their places among one another mean anything.
    thumbnails: n pictures (h, w, 3). missing: images that are not on the map because their files cannot be read, with
    the reason. total: images in the library.
    """

    paths: tuple[Path, ...]
    points: NDArray[np.float32]
    thumbnails: tuple[Pixels, ...]
    missing: tuple[tuple[Path, str], ...]
    total: int


def map_library(
    library: Library,
    method: str = "tsne",
    *,
    images: int = 1000,
    neighbours: int | None = None,
    longest: int = 96,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LibraryMap:
    """Lay out at most `images` images of `library`, drawn at random where there are more.

    method, neighbours, seed: as in `manifold_map`. longest: pixels of a thumbnail. Of an image with several vectors
    that of the whole counts, or else its first. `progress` is called with the images read and their number; the map
    itself is made after that. Raises UsageError for an unknown method and for fewer than four images,
    MissingExtra where the packages that the method needs are not installed.
    """
    library.check_vectors("map")
    check_map(method)  # before images are read in vain
    check_whole(images=images, longest=longest)
    chosen = _chosen(library.store, images, seed)
    ids, kept, paths, thumbnails, missing = list(chosen), [], [], [], []
    for number, result in zip(ids, _thumbnails([chosen[each] for each in ids], longest), strict=True):
        if isinstance(result, ImageError):
            missing.append((chosen[number], result.reason))
        else:
            kept.append(number)
            paths.append(chosen[number])
            thumbnails.append(result)
        if progress is not None:
            progress(len(kept) + len(missing), len(ids))
    found, rows = library.store.fetch(kept)
    there = set(found.tolist())  # another process may have removed some meanwhile
    still = [at for at, number in enumerate(kept) if number in there]
    points = _points(rows, method, neighbours=neighbours, seed=seed, missing=len(missing))
    return LibraryMap(
        tuple(paths[at] for at in still),
        points,
        tuple(thumbnails[at] for at in still),
        tuple(missing),
        library.store.counts().indexed,
    )


def write_coordinates(file: Path, mapped: LibraryMap) -> None:
    """Write path, x and y of every image as CSV, UTF-8 with what is not (odd file names) as surrogate escapes.

    Raises UsageError where the file cannot be written.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["path", "x", "y"])
    for path, (x, y) in zip(mapped.paths, mapped.points.tolist(), strict=True):
        lines.writerow([str(path), f"{x:.6g}", f"{y:.6g}"])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write_whole(file, "coordinates", lambda part: part.write_bytes(data))


def _chosen(store: Store, images: int, seed: int) -> dict[int, Path]:
    """Return at most `images` images as {vector id: path}, in order of path."""
    ids = store.select(Filter())
    ids = np.random.default_rng(seed).permutation(ids)
    whole: dict[Path, int] = {}
    parts: dict[Path, tuple[int, int]] = {}
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK].tolist()
        found = store.rows(chunk)  # in an order of its own
        for number, row in ((number, found[number]) for number in chunk if number in found):
            if row.box is None:
                whole.setdefault(row.path, number)
            else:
                parts[row.path] = min(parts.get(row.path, (row.region, number)), (row.region, number))
        if len(whole) >= images:
            break
    if not whole:  # a library of parts only
        whole = {path: number for path, (_, number) in parts.items()}
    return dict(sorted(((number, path) for path, number in list(whole.items())[:images]), key=lambda item: item[1]))


def _thumbnails(paths: Sequence[Path], longest: int) -> Iterator[Pixels | ImageError]:
    """Yield a thumbnail of each image, in order, or why there is none."""

    def small(path: Path) -> Pixels | ImageError:
        try:
            return resize(decode(path, longest=longest).pixels, longest=longest)
        except ImageError as error:
            return error

    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), WAITING):
            yield from threads.map(small, paths[start : start + WAITING])


def _points(rows: Vectors, method: str, *, neighbours: int | None, seed: int, missing: int) -> NDArray[np.float32]:
    """Lay out rows (n, D), or say why there are not enough."""
    try:
        check_enough(len(rows), dimension=2)
    except UsageError as error:
        raise UsageError(
            f"{error} ({missing} of the library's files cannot be read)" if missing else str(error)
        ) from None
    return manifold_map(rows, method, neighbours=neighbours, seed=seed)
