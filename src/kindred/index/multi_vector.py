"""Search of images stored as several rows each, by their best-matching rows, with the boxes of those rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import as_rows, check_whole, top_k
from kindred.errors import UsageError
from kindred.index.coded import DEPTH
from kindred.index.id_map import padded_ranking
from kindred.index.segments import SegmentedIndex
from kindred.matching import (
    MATCHINGS,
    GroupedRows,
    ImageRows,
    Matched,
    Option,
    RowCode,
    check_matching,
    check_query,
    group_rows,
)
from kindred.ranking import Ranking

__all__ = ["FetchRows", "MultiVectorIndex"]

FetchRows: TypeAlias = Callable[[NDArray[np.int64]], ImageRows]
"""Takes the ids of images (n,), ascending, and returns the rows of those that exist."""


class MultiVectorIndex(SegmentedIndex[GroupedRows]):
    """All rows of all images in memory, compared with the rows of the query by a matching method.

    `method` is a name of `kindred.matching.MATCHINGS`, with its `options`. Rows are unit vectors; `half` stores them as
    float16, which changes a score by at most 0.002, typically 0.0001. For "asmk" rows are sorted by word, so that a
    search reads only the rows of its words. Equal scores are ordered by id, lower first. One thread at a time may
    change the index; searches may run at the same time. Raises RecipeError for an unknown method or option.

    code: rows are stored as its codes instead, and scores are what these estimate. rescore: fetches rows, by which the
    10 · k best images by code are then compared exactly.
    """

    def __init__(
        self,
        dimension: int,
        *,
        method: str = "best",
        options: Mapping[str, Option] | None = None,
        half: bool = True,
        code: RowCode | None = None,
        rescore: FetchRows | None = None,
    ) -> None:
        super().__init__()
        self.code, self._fetch = code, rescore
        self.dimension = dimension
        self.method = method
        self.options = dict(options or {})
        self.half = half
        check_matching(method, self.options)

    @property
    def nbytes(self) -> int:
        """Size of the rows in bytes, without ids, words and boxes."""
        return sum(each.rows.nbytes for each in self._segments.state.segments)

    def add(
        self,
        ids: ArrayLike,
        rows: ArrayLike,
        *,
        boxes: NDArray[np.float32] | None = None,
        words: NDArray[np.int64] | None = None,
    ) -> None:
        """Add rows (n, D) of images `ids` (n,), repeated for each row, ascending, all above the ids before.

        `boxes` (n, 4) are the regions that the rows describe, `words` (n,) the visual words of their residuals, as in
        `kindred.matching.ImageRows`. Raises UsageError if some rows of the index have boxes and others have none.
        """
        if (found := self._grouped(ids, rows, boxes, words)) is not None:
            self._segments.add(*found)

    def replace(
        self,
        ids: ArrayLike,
        rows: ArrayLike,
        *,
        boxes: NDArray[np.float32] | None = None,
        words: NDArray[np.int64] | None = None,
    ) -> None:
        """Add images like `add`, replacing those with the same ids; the ids ascend, and may be lower than earlier ones.

        A concurrent search sees each image before or after the change.
        """
        if (found := self._grouped(ids, rows, boxes, words)) is not None:
            self._segments.replace(*found)

    def _grouped(
        self, ids: ArrayLike, rows: ArrayLike, boxes: NDArray[np.float32] | None, words: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], GroupedRows] | None:
        """Return the ids (I,) of images and their rows, sorted for the matching method; None if there are no rows."""
        added = ImageRows(as_rows(rows, "rows"), np.asarray(ids, np.int64), boxes, words)
        if added.rows.shape[1] != self.dimension:
            raise UsageError(f"rows: got shape {added.rows.shape}; expected (n, {self.dimension})")
        if not len(added):
            return None
        numbers, new = group_rows(added, self.method, self.options, half=self.half, code=self.code)
        groups = self._segments.state.segments
        if groups and (new.boxes is None) != (groups[0].boxes is None):
            raise UsageError(
                "boxes: got some rows with boxes and some without; expected boxes for all rows or for none"
            )
        return numbers, new

    def search(self, query: ImageRows, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` images for the rows of one query image; `allowed` restricts the search to those ids (n,).

        The ranking has one row; its boxes are those of the best-matching rows, if rows have boxes and the matching
        method locates matches.
        """
        check_whole(k=k)
        state = self._segments.state
        live = state.live
        k = min(k, live.count)
        found = self._matched(query, state.segments)
        scores = state.by_id(_joined(found))
        places = np.flatnonzero(live.mask(allowed))
        if self._fetch is not None:
            best_by_code, _ = top_k(scores[None, places], max(1, min(live.count, DEPTH * k)))
            return self._rescored(query, self._fetch(np.sort(live.ids[places[best_by_code[0]]])), k)
        order, best = top_k(scores[None, places], max(1, k))
        ranking = padded_ranking((live.ids[places[order]], best), k)
        boxes = [
            each.boxes[winners]
            for each, (_, winners) in zip(state.segments, found, strict=True)
            if each.boxes is not None and winners is not None
        ]
        if not boxes:
            return ranking
        return _located(ranking, state.by_id(np.concatenate(boxes))[places[order[0]]])

    def _rescored(self, query: ImageRows, rows: ImageRows, k: int) -> Ranking:
        """Return the best `k` of the images with these rows, which are compared exactly."""
        ids, exact = group_rows(rows, self.method, self.options)
        scores, winners = MATCHINGS[self.method].function(query, exact, **self.options)
        order, best = top_k(scores[None], max(1, k))
        ranking = padded_ranking((ids[order], best), k)
        if exact.boxes is None or winners is None:
            return ranking
        return _located(ranking, exact.boxes[winners[order[0]]])

    def scores(self, query: ImageRows) -> NDArray[np.float32]:
        """Return the scores (1, N) of all images, in order of id."""
        state = self._segments.state
        return state.by_id(_joined(self._matched(query, state.segments)))[None, state.live.alive]

    def _matched(self, query: ImageRows, groups: Sequence[GroupedRows]) -> list[Matched]:
        """Return the scores and the best-matching rows of each group of images."""
        check_query(query, self.dimension)
        return [MATCHINGS[self.method].function(query, each, **self.options) for each in groups]


def _joined(found: Sequence[Matched]) -> NDArray[np.float32]:
    return np.concatenate([np.empty(0, np.float32), *(scores for scores, _ in found)])


def _located(ranking: Ranking, boxes: NDArray[np.float32]) -> Ranking:
    """Return a ranking of one query with the boxes (n, 4) of its results; zeros where it is padded."""
    located = np.zeros((*ranking.ids.shape, 4), np.float32)
    located[0, : len(boxes)] = boxes
    return Ranking(ranking.ids, ranking.scores, located)
