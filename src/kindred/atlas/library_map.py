"""A map of a library: its images with their points on the map and their thumbnails."""

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
from kindred.hints import check_type
from kindred.images import decode, resize
from kindred.manifold.embedding import check_count
from kindred.manifold.maps import check_map, manifold_map
from kindred.store import Filter, Store

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["LibraryMap", "map_library", "write_coordinates"]

Pixels = NDArray[np.uint8]

QUERIED_AT_A_TIME = 1000
"""Vectors queried at a time."""
DECODED_AT_A_TIME = 64
"""Images decoded at a time."""


@dataclass(frozen=True, eq=False)
class LibraryMap:
    """Images of a library with their points on the map.

    paths: n. points: (n, 2) float32, as the method returns them; only their relative positions are meaningful.
    thumbnails: n images (h, w, 3). missing: images that are not on the map because their files cannot be read, with
    the reason. total: number of images in the library.
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
    """Map at most `images` images of `library`, a random sample if there are more.

    method, neighbours, seed: as in `manifold_map`. longest: longer side of a thumbnail in pixels. Of an image with
    several vectors, that of the whole image is used, or else its first. `progress` is called with the images read and
    their number; the map itself is computed after that. Raises UsageError for an unknown method and for fewer than
    four images, MissingExtra if packages that the method needs are not installed.
    """
    from kindred.library import Library  # here: it is needed by nothing else of a map

    check_type("library", library, Library, "an open Library")
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
    there = set(found.tolist())  # another process may have removed some in the meantime
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
    """Write path, x and y of every image as CSV in UTF-8; bytes of file names that are not UTF-8 are kept unchanged.

    Raises UsageError if the file cannot be written.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["path", "x", "y"])
    for path, (x, y) in zip(mapped.paths, mapped.points.tolist(), strict=True):
        lines.writerow([str(path), f"{x:.6g}", f"{y:.6g}"])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write_whole(file, "coordinates", lambda part: part.write_bytes(data))


def _chosen(store: Store, images: int, seed: int) -> dict[int, Path]:
    """Return at most `images` images as {vector id: path}, sorted by path."""
    ids = store.select(Filter())
    ids = np.random.default_rng(seed).permutation(ids)
    whole: dict[Path, int] = {}
    parts: dict[Path, tuple[int, int]] = {}
    for start in range(0, len(ids), QUERIED_AT_A_TIME):
        chunk = ids[start : start + QUERIED_AT_A_TIME].tolist()
        found = store.rows(chunk)  # in an order of the store's own
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
    """Yield a thumbnail of each image, in order, or the error if there is none."""

    def small(path: Path) -> Pixels | ImageError:
        try:
            return resize(decode(path, longest=longest).pixels, longest=longest)
        except ImageError as error:
            return error

    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), DECODED_AT_A_TIME):
            yield from threads.map(small, paths[start : start + DECODED_AT_A_TIME])


def _points(rows: Vectors, method: str, *, neighbours: int | None, seed: int, missing: int) -> NDArray[np.float32]:
    """Map rows (n, D) to points; raise UsageError, with the number of unreadable files, if there are too few."""
    try:
        check_count(len(rows), dimension=2)
    except UsageError as error:
        raise UsageError(
            f"{error} ({missing} of the library's files cannot be read)" if missing else str(error)
        ) from None
    return manifold_map(rows, method, neighbours=neighbours, seed=seed)
