"""WholeMap: a point for every image of a library, computed once and updated as images come and go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.atlas.order import Levels, levels_of, order_by_level
from kindred.atlas.positions import LANDMARKS, Landmarks, Points, unit_square
from kindred.errors import UsageError
from kindred.manifold.embedding import check_count
from kindred.manifold.maps import check_map
from kindred.store import Filter, Store

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["WholeMap", "make_map", "update_map"]

Numbers = NDArray[np.int64]
Progress = Callable[[int, int], None]

MOST_CHANGED = 0.2
"""Share of images added or removed beyond which a map is computed anew rather than updated."""
FETCHED_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class WholeMap:
    """A map of all images that a library had at `revision`, the vectors revision of its store.

    uids: the public ids of n images, some spread over the map first. numbers: (n,) their numbers in the store. points:
    (n, 2) float32 in the unit square, the second axis pointing down. levels: (n,) uint8, from which scale on each is
    shown (`kindred.atlas.order`). landmarks: (L,) positions in the order of the images that the method itself has
    mapped.
    """

    method: str
    revision: int
    uids: tuple[str, ...]
    numbers: Numbers
    points: Points
    levels: Levels
    landmarks: Numbers

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with the images, their order and their points."""
        digest = hashlib.sha256(self.method.encode())
        digest.update("".join(self.uids).encode())
        digest.update(np.ascontiguousarray(self.points, "<f4").tobytes())
        return digest.hexdigest()[:16]


def make_map(
    library: Library,
    method: str = "tsne",
    *,
    landmarks: int = LANDMARKS,
    seed: int = 0,
    progress: Progress | None = None,
) -> WholeMap:
    """Map all images of `library`.

    method: a name of `kindred.manifold.MAPS`. Up to `landmarks` images are mapped by the method itself; of more, a
    random sample is, and the others are placed by it (`kindred.atlas.positions`). Of an image with several vectors,
    that of the whole image is used, or else its first. `progress` is called with the images placed and their number.
    Raises UsageError for an unknown method, for fewer than four images and for a library of visual words, MissingExtra
    if packages that the method needs are not installed.
    """
    library.check_vectors("map")
    check_map(method)
    store = library.store
    revision = store.vectors_revision  # first: what changes meanwhile is placed by the next update
    outlines = store.outlines(Filter())
    check_count(len(outlines.numbers), dimension=2)
    sample = np.sort(np.random.default_rng(seed).permutation(outlines.numbers)[:landmarks])
    owners, rows = _collected(store, sample)
    fitted = Landmarks.fit(rows, method, seed=seed)
    placed = _place_all(store, np.setdiff1d(outlines.numbers, owners), fitted, seed, len(outlines.numbers), progress)
    numbers, points = np.concatenate([owners, placed[0]]), np.concatenate([fitted.points, placed[1]])
    places = unit_square(points, method)
    levels = levels_of(places, seed=seed)
    order = order_by_level(places, levels)
    names = dict(zip(outlines.numbers.tolist(), outlines.uids, strict=True))
    return WholeMap(
        method,
        revision,
        tuple(names[number] for number in numbers[order].tolist()),
        numbers[order],
        places[order],
        levels[order],
        np.flatnonzero(order < len(owners)),
    )


def update_map(library: Library, previous: WholeMap, *, progress: Progress | None = None) -> WholeMap:
    """Return the map of the images that `library` has now: `previous` itself if no vector has changed.

    Images that are gone are left out; new and changed ones are placed by the landmarks of the map and come last. If
    more than a fifth has changed, the map is computed anew.
    """
    store = library.store
    revision = store.vectors_revision
    if revision == previous.revision:
        return previous
    outlines = store.outlines(Filter())
    unchanged = np.isin(previous.numbers, outlines.numbers)
    unchanged &= ~np.isin(previous.numbers, store.changed_since(previous.revision))
    stay = np.flatnonzero(unchanged)
    new = np.setdiff1d(outlines.numbers, previous.numbers[stay])
    landmarks = np.searchsorted(stay, previous.landmarks[unchanged[previous.landmarks]])
    changed = len(previous) - len(stay) + len(new)
    if changed > MOST_CHANGED * len(outlines.numbers) or len(landmarks) < 1:
        return make_map(library, previous.method, progress=progress)
    numbers, points, levels = previous.numbers[stay], previous.points[stay], previous.levels[stay]
    if len(new):
        new, fresh = _placed_among(store, new, numbers[landmarks], points[landmarks], progress)
        own = levels_of(np.concatenate([points, fresh]), known=levels)[len(points) :]
        order = order_by_level(fresh, own)
        numbers, points = np.concatenate([numbers, new[order]]), np.concatenate([points, fresh[order]])
        levels = np.concatenate([levels, own[order]])
    names = dict(zip(outlines.numbers.tolist(), outlines.uids, strict=True))
    uids = tuple(names[number] for number in numbers.tolist())
    return WholeMap(previous.method, revision, uids, numbers, points, levels, landmarks)


def _placed_among(
    store: Store, new: Numbers, landmarks: Numbers, points: Points, progress: Progress | None
) -> tuple[Numbers, Points]:
    """Place new images by `landmarks` (L,), which are at `points` (L, 2) of the unit square."""
    owners, rows = _collected(store, landmarks)
    there = dict(zip(landmarks.tolist(), points, strict=True))
    known = Landmarks(rows, np.array([there[number] for number in owners.tolist()], np.float32))
    numbers, placed = _place_all(store, new, known, 0, len(new), progress)
    return numbers, np.clip(placed, 0, 1)


def _place_all(
    store: Store, numbers: Numbers, landmarks: Landmarks, seed: int, total: int, progress: Progress | None
) -> tuple[Numbers, Points]:
    """Place images, some thousand at a time; return the numbers (n,) of those that still exist and points (n, 2)."""
    done, owners, points = total - len(numbers), [np.zeros(0, np.int64)], [np.zeros((0, 2), np.float32)]
    if progress is not None:
        progress(done, total)
    for start in range(0, len(numbers), FETCHED_AT_A_TIME):
        chunk = numbers[start : start + FETCHED_AT_A_TIME]
        found, rows = _collected(store, chunk)
        owners.append(found)
        points.append(landmarks.place(rows, seed=seed + start))
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    return np.concatenate(owners), np.concatenate(points)


def _collected(store: Store, numbers: Numbers) -> tuple[Numbers, Vectors]:
    """Return the numbers (n,) of those of the images that still exist, ascending, and a vector (n, D) of each."""
    found = list(_image_vectors(store, numbers))
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, store.dimension or 1), np.float32)
    owners, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return owners, rows


def _image_vectors(store: Store, numbers: Numbers) -> Iterator[tuple[Numbers, Vectors]]:
    """Yield (numbers (n,), rows (n, D)) of images, one row of each: that of the whole image, or else its first."""
    for batch in store.parts(images=numbers):
        if batch.boxes is None:
            raise UsageError("map: the library stores visual words, not vectors; use a library with another recipe")
        parts = ~np.isnan(batch.boxes[:, 0])
        order = np.lexsort((np.arange(len(parts)), parts, batch.owners))
        owners, first = np.unique(batch.owners[order], return_index=True)
        yield owners, np.asarray(batch.rows[order[first]], np.float32)
