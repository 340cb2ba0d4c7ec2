"""What a store has of single images: their facts, rows and visual words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged
from kindred.features import LocalFeatures, from_bytes
from kindred.store import Known, Row, RowBatch, Store, VisualWords

__all__ = ["facts_of", "features_of", "rows_of_each", "words_of"]


def facts_of(store: Store, images: Mapping[int, Row]) -> dict[int, Known]:
    """Return the stored facts of images, as of `Store.images`, by number."""
    return {each.id: each for each in store.lookup(row.path for row in images.values()).values()}


def features_of(store: Store, row: Row) -> LocalFeatures | None:
    """Return the local features of an image; None if it has none. Raises LibraryDamaged, which names the image."""
    try:
        data = store.features(row.image_id)
        return None if data is None else from_bytes(data)
    except LibraryDamaged as error:
        raise LibraryDamaged(f"{row.path}: {error}") from error


def rows_of_each(store: Store, images: NDArray[np.int64]) -> Iterator[tuple[int, RowBatch]]:
    """Yield the number and the rows of each of the images (n,) that has any, as they are stored."""
    for batch in store.parts(images=images):
        for number in np.unique(batch.owners).tolist():
            own = batch.owners == number
            boxes = None if batch.boxes is None else batch.boxes[own]
            words = None if batch.words is None else batch.words[own]
            yield number, RowBatch(batch.owners[own], batch.rows[own], boxes, words)


def words_of(store: Store, vector: int) -> VisualWords | None:
    """Return the visual words of the local features of an image, by the id of its vector; None if it has none."""
    for ids, found in store.visual_words(after_id=vector - 1, batch=1):
        return VisualWords(found.words, found.signatures) if ids[0] == vector else None
    return None
