from __future__ import annotations

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.index.id_map import IdMap, padded_ranking


def test_maps_are_immutable() -> None:
    empty = IdMap()
    first = empty.extended(np.array([2, 5]))
    second = first.extended(np.array([9])).without([5, 6, 100])
    assert (empty.last, len(empty.ids)) == (0, 0)
    assert (first.count, first.removed, first.last) == (2, 0, 5)
    assert (second.count, second.removed, second.last) == (2, 1, 9)
    assert second.alive.tolist() == [True, False, True]


@pytest.mark.parametrize("ids", [[5], [4], [7, 7], [8, 6]])
def test_ids_must_ascend(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="all above 5"):
        IdMap().extended(np.array([2, 5])).extended(np.array(ids))


def test_the_mask_selects_rows_that_are_live_and_allowed() -> None:
    live = IdMap().extended(np.array([2, 5, 9])).without([5])
    assert live.mask(None).tolist() == [True, False, True]
    assert live.mask(np.array([1, 5, 9, 77])).tolist() == [False, False, True]
    assert live.mask(np.array([], dtype=np.int64)).tolist() == [False, False, False]


def test_short_rankings_are_padded() -> None:
    ranking = padded_ranking((np.array([[4]]), np.array([[0.5]], dtype=np.float32)), 3)
    assert ranking.ids.tolist() == [[4, -1, -1]]
    assert ranking.scores.tolist() == [[0.5, -np.inf, -np.inf]]
