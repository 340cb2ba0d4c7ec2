"""Helpers of the re-rankers: the results of a query without padding, and merging new results into a ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_whole
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank.context import Context, Gallery

__all__ = ["NEIGHBOUR_SHARE", "Reranked", "checked_queries", "compose", "default_count", "result_ids"]

Reranked = tuple[NDArray[np.int64], NDArray[np.float32]]
"""The new best results of one query: ids (n,), none twice, and scores (n,), best first."""


NEIGHBOUR_SHARE = 40
"""By default no more than one in so many images of a gallery count as neighbours of one."""


def default_count(chosen: int, gallery: Gallery, *, name: str, least: int, most: int) -> int:
    """Return the number of neighbours to count: `chosen`, or what suits the size of the gallery if that is 0.

    A default is a fortieth of the images, at least `least` and at most `most`, which is the paper's number. With more
    neighbours than there are images of one object, the others decide. Raises UsageError for `chosen` below 0; `name`
    is its name.
    """
    if chosen == 0 and not isinstance(chosen, bool):
        return min(most, max(least, len(gallery) // NEIGHBOUR_SHARE))
    check_whole(**{name: chosen})
    return chosen


def checked_queries(ranking: Ranking, context: Context) -> Vectors:
    """Return the query vectors (Q, D) of a ranking. Raises UsageError if their number is not that of its rows."""
    queries = as_rows(context.queries, "queries")
    if len(queries) != len(ranking):
        raise UsageError(
            f"queries: got {len(queries)} vectors for a ranking of {len(ranking)} queries; expected one per query"
        )
    return queries


def result_ids(ranking: Ranking, query: int, *, limit: int | None = None) -> NDArray[np.int64]:
    """Return the ids (n,) of the results of query number `query`, best first, without padding; at most `limit`."""
    row = ranking.ids[query]
    ids: NDArray[np.int64] = row[row >= 0][:limit]
    return ids


def compose(ranking: Ranking, reranked: Sequence[Reranked]) -> Ranking:
    """Put the re-ranked results of every query before its remaining old ones.

    The old results stay in order. Their scores are shifted below that of the last re-ranked result, because the two
    scales differ. Boxes are retained if the ranking had one for every result.
    """
    ids = np.full(ranking.ids.shape, -1, dtype=np.int64)
    scores = np.full(ranking.scores.shape, -np.inf, dtype=np.float32)
    width = ranking.ids.shape[1]
    for query, (best, best_scores) in enumerate(reranked):
        rest = (ranking.ids[query] >= 0) & ~np.isin(ranking.ids[query], best)
        lowered = ranking.scores[query][rest]
        if best.size and lowered.size:
            lowered = np.minimum(lowered + min(0.0, best_scores[-1] - lowered[0]), best_scores[-1])
        row = np.concatenate((best, ranking.ids[query][rest]))[:width]
        ids[query, : len(row)] = row
        scores[query, : len(row)] = np.concatenate((best_scores, lowered))[:width]
    return Ranking(ids, scores, _boxes(ranking, ids))


def _boxes(ranking: Ranking, ids: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Return the boxes (Q, K, 4) of `ids` (Q, K), or None if the ranking did not have them all."""
    if ranking.boxes is None:
        return None
    boxes = np.zeros_like(ranking.boxes)
    for query, row in enumerate(ids):
        order = np.argsort(ranking.ids[query], kind="stable")
        known = ranking.ids[query][order]
        places = np.minimum(np.searchsorted(known, row), max(0, len(known) - 1))
        if (known[places] != row).any():
            return None
        boxes[query] = ranking.boxes[query][order[places]]
    return boxes
