"""ArraySource: rows in memory as the source of an index, for evaluation, experiments and tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.store import Filter, RowBatch, WordBatch

__all__ = ["ArraySource"]

BATCH = 1 << 18
"""Rows per batch; batches are views, not copies."""


class ArraySource:
    """Immutable rows (M, D) of images 1, 2, …: one each, or `counts` (n,) rows per image, with their `words` (M,).

    visual_words: those of the local features of all images. boxes: (M, 4), the part of the image of each row. An image
    of no rows is never found. Raises UsageError if lengths differ.
    """

    def __init__(
        self,
        rows: Vectors,
        *,
        counts: NDArray[np.int64] | None = None,
        words: NDArray[np.int64] | None = None,
        visual_words: WordBatch | None = None,
        boxes: NDArray[np.float32] | None = None,
    ) -> None:
        self._rows = as_rows(rows, "rows")
        self._counts = np.ones(len(self._rows), np.int64) if counts is None else np.asarray(counts, np.int64)
        self._words, self._visual_words, self._boxes = words, visual_words, boxes
        if boxes is not None and boxes.shape != (len(self._rows), 4):
            raise UsageError(f"boxes: got shape {boxes.shape}; expected ({len(self._rows)}, 4)")
        if visual_words is not None and len(visual_words.counts) != len(self._counts):
            raise UsageError(f"got visual words of {len(visual_words.counts)} images; expected {len(self._counts)}")
        if self._counts.sum() != len(self._rows) or (words is not None and len(words) != len(self._rows)):
            raise UsageError(
                f"counts: got a sum of {self._counts.sum()}; expected the number of rows and words, {len(self._rows)}"
            )

    @property
    def dimension(self) -> int | None:
        """The dimension D of the rows."""
        return int(self._rows.shape[1])

    revision = vectors_revision = 0

    def select(self, where: Filter, /) -> NDArray[np.int64]:
        """Raise UsageError: images in memory have no properties to filter by."""
        raise UsageError(f"where: got {where}; images in memory have no folder, tags or dates")

    select_images = select

    def vectors(self, *, after_id: int = 0, batch: int = BATCH) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield the rows of images with ids above `after_id`, one row each, as (ids (n,), rows (n, D))."""
        ids = np.repeat(np.arange(1, len(self._counts) + 1), self._counts)
        start = int(np.searchsorted(ids, after_id, side="right"))
        for at in range(start, len(ids), max(batch, BATCH)):
            part = slice(at, at + max(batch, BATCH))
            yield ids[part], self._rows[part]

    def fetch(self, vector_ids: NDArray[np.int64], /) -> tuple[NDArray[np.int64], Vectors]:
        """Return (ids (n,), rows (n, D)) of `vector_ids`, for images of one row each; unknown ids are omitted."""
        ids = np.repeat(np.arange(1, len(self._counts) + 1), self._counts)
        places = np.minimum(np.searchsorted(ids, vector_ids), max(0, len(ids) - 1))
        here = ids[places] == vector_ids if len(ids) else np.zeros(len(vector_ids), np.bool_)
        return np.asarray(vector_ids)[here], self._rows[places[here]]

    def parts(
        self,
        *,
        images: NDArray[np.int64] | None = None,
        batch: int = BATCH,  # noqa: ARG002 - the signature of a store
    ) -> Iterator[RowBatch]:
        """Yield all rows of all images; of those numbered `images` only, where given."""
        owners = np.repeat(np.arange(1, len(self._counts) + 1), self._counts)
        kept = slice(None) if images is None else np.isin(owners, images)
        if owners[kept].size:
            boxes = None if self._boxes is None else self._boxes[kept]
            yield RowBatch(owners[kept], self._rows[kept], boxes, None if self._words is None else self._words[kept])

    def visual_words(
        self,
        *,
        after_id: int = 0,
        batch: int = BATCH,  # noqa: ARG002 - the signature of a store
    ) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all images at once, unless there is none after `after_id`."""
        if self._visual_words is not None and after_id < len(self._counts):
            counts, words, signatures = self._visual_words
            rest = int(counts[:after_id].sum())
            ids = np.arange(after_id + 1, len(counts) + 1)
            yield ids, WordBatch(counts[after_id:], words[rest:], signatures[rest:])

    def removed_since(self, revision: int, /) -> NDArray[np.int64]:  # noqa: ARG002 - nothing is ever removed
        """Return no ids, as rows are never removed."""
        return np.empty(0, np.int64)

    def changed_since(self, revision: int, /) -> NDArray[np.int64]:  # noqa: ARG002 - nothing ever changes
        """Return no numbers."""
        return np.empty(0, np.int64)
