"""What a store has of images: their facts, rows, local features and visual words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import LibraryDamaged
from kindred.features import LocalFeatures, from_bytes
from kindred.store import Filter, Known, Row, RowBatch, Store, VisualWords

__all__ = [
    "READ_AHEAD",
    "RankedImages",
    "decoded",
    "facts_of",
    "features_of",
    "features_of_each",
    "rows_of_each",
    "stored_features",
    "vectors_of_each",
    "visual_words_of",
    "visual_words_of_each",
]

T = TypeVar("T")

READ_AHEAD = 64
"""Images whose local features are read from the store at once."""
VECTORS_AT_ONCE = 4096
"""Vectors among which one that is damaged is searched for."""


class RankedImages:
    """The images of a library that the ids of its rankings refer to.

    by_number: whether these are numbers of images, as of a recipe that stores several rows per image, not ids of
    vectors. Images that were removed in the meantime are left out.
    """

    def __init__(self, store: Store, *, by_number: bool) -> None:
        self.store, self.by_number = store, by_number

    def rows(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the images, by id."""
        return self.store.images(ids) if self.by_number else self.store.rows(ids)

    def features(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of images as they are stored, by id; those without any are left out.

        Raises LibraryDamaged, which names the image.
        """
        try:
            return self.store.features_of_images(ids) if self.by_number else self.store.features_of(ids)
        except LibraryDamaged:
            for row in self.rows(ids).values():
                features_of(self.store, row)  # alone: the error names the image
            raise


def facts_of(store: Store, images: Mapping[int, Row]) -> dict[int, Known]:
    """Return the stored facts of images, as of `Store.images`, by number."""
    return {each.id: each for each in store.lookup(row.path for row in images.values()).values()}


def features_of(store: Store, row: Row) -> LocalFeatures | None:
    """Return the local features of an image; None if it has none. Raises LibraryDamaged, which names the image."""
    ((_, data),) = features_of_each(store, {row.image_id: row})
    return decoded(row, data)


def features_of_each(store: Store, images: Mapping[int, Row]) -> Iterator[tuple[int, bytes | LibraryDamaged | None]]:
    """Yield the number and the local features of images, as of `Store.images`, as they are stored; None without any.

    They are read for many images at once. In place of those that cannot be read there is the error, which names the
    image.
    """
    return _each(images, store.features_of_images)


def visual_words_of_each(
    store: Store, images: Mapping[int, Row]
) -> Iterator[tuple[int, VisualWords | LibraryDamaged | None]]:
    """Yield the number and the visual words of the local features of images, likewise."""
    return _each(images, store.visual_words_of_images)


def stored_features(store: Store, images: Mapping[int, Row]) -> dict[int, bytes]:
    """Return the local features of images, as of `Store.images`, as they are stored, by number; without any: left out.

    Raises LibraryDamaged, which names the image.
    """
    return _sound(features_of_each(store, images))


def visual_words_of(store: Store, images: Mapping[int, Row]) -> dict[int, VisualWords]:
    """Return the visual words of the local features of images, likewise."""
    return _sound(visual_words_of_each(store, images))


def _each(
    images: Mapping[int, Row], read: Callable[[Mapping[int, Row]], Mapping[int, T]]
) -> Iterator[tuple[int, T | LibraryDamaged | None]]:
    """Yield the number of each image and what `read` returns for it, which reads many; alone where that fails."""
    numbers = list(images)
    for start in range(0, len(numbers), READ_AHEAD):
        part = {number: images[number] for number in numbers[start : start + READ_AHEAD]}
        try:
            found = read(part)
        except LibraryDamaged as error:
            if len(part) == 1:
                yield numbers[start], LibraryDamaged(f"{images[numbers[start]].path}: {error}")
            else:
                for number, row in part.items():
                    yield from _each({number: row}, read)
            continue
        for number in part:
            yield number, found.get(number)


def _sound(found: Iterable[tuple[int, T | LibraryDamaged | None]]) -> dict[int, T]:
    """Return what was found, by number; raise the first error."""
    sound: dict[int, T] = {}
    for number, each in found:
        if isinstance(each, LibraryDamaged):
            raise each
        if each is not None:
            sound[number] = each
    return sound


def decoded(row: Row, data: bytes | LibraryDamaged | None) -> LocalFeatures | None:
    """Decode the local features of an image, as of `features_of_each`. Raises LibraryDamaged, which names the image."""
    if isinstance(data, LibraryDamaged):
        raise data
    try:
        return None if data is None else from_bytes(data)
    except LibraryDamaged as error:
        raise LibraryDamaged(f"{row.path}: {error}") from error


def vectors_of_each(store: Store) -> Iterator[tuple[NDArray[np.int64], Vectors | LibraryDamaged]]:
    """Yield the ids (n,) and the rows (n, D) of all vectors; in place of one that is damaged, the error, with its id.

    Raises LibraryDamaged if that is so for all of several thousand.
    """
    last = 0
    while True:
        try:
            for ids, rows in store.vectors(after_id=last):
                yield ids, rows
                last = int(ids[-1])
            return
        except LibraryDamaged:
            ids = store.select(Filter())
            part = ids[ids > last][:VECTORS_AT_ONCE]
            found = list(_fetched(store, part))
            if len(found) == len(part) != 1:  # nothing but errors
                raise
            yield from found
            last = int(part[-1])


def _fetched(store: Store, ids: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Vectors | LibraryDamaged]]:
    try:
        yield store.fetch(ids.tolist())
    except LibraryDamaged as error:
        if len(ids) == 1:
            yield ids, error
            return
        for half in np.array_split(ids, 2):
            yield from _fetched(store, half)


def rows_of_each(store: Store, images: NDArray[np.int64]) -> Iterator[tuple[int, RowBatch]]:
    """Yield the number and the rows of each of the images (n,) that has any, as they are stored."""
    for batch in store.parts(images=images):
        for number in np.unique(batch.owners).tolist():
            own = batch.owners == number
            boxes = None if batch.boxes is None else batch.boxes[own]
            words = None if batch.words is None else batch.words[own]
            yield number, RowBatch(batch.owners[own], batch.rows[own], boxes, words)
