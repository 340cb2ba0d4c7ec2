"""The one function by which approximate indexes go on until k images are found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred.index.id_map import Found
from kindred.index.widening import efforts_up_to, widened


def test_efforts_grow_up_to_the_most() -> None:
    assert efforts_up_to(20, 500) == [20, 80, 320, 500]
    assert efforts_up_to(20, 20) == efforts_up_to(50, 20) == [20]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 5))
def test_the_results_are_those_of_a_list_without_bounds(seed: int, k: int, queries: int) -> None:
    """Against the definition: walk down the whole list, take each image once, skip what must not be returned."""
    random = np.random.default_rng(seed)
    total = int(random.integers(0, 60))
    order = np.stack([random.permutation(total) for _ in range(queries)])
    scores = np.sort(random.standard_normal((queries, total)).astype(np.float32), axis=1)[:, ::-1]
    images = random.integers(-1, 15, total)
    asked: list[tuple[list[int], int]] = []

    def search(numbers: NDArray[np.int64], effort: int) -> Found:
        asked.append((numbers.tolist(), effort))
        return order[numbers, :effort], scores[numbers, :effort]

    def owners(ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return images[ids]

    efforts = efforts_up_to(2, max(total, 2))
    ids, best = widened(search, owners, queries, k, efforts=efforts)
    for query in range(queries):
        seen: dict[int, tuple[int, float]] = {}
        for number, score in zip(order[query].tolist(), scores[query].tolist(), strict=True):
            if images[number] >= 0:
                seen.setdefault(int(images[number]), (number, score))
        expected = list(seen.values())[:k]
        assert [each for each in ids[query].tolist() if each >= 0] == [number for number, _ in expected]
        assert best[query, : len(expected)].tolist() == pytest.approx([score for _, score in expected])
        assert np.isneginf(best[query, len(expected) :]).all()
    # Only what is lacking is searched again, with more effort each time.
    assert [effort for _, effort in asked] == efforts[: len(asked)]
    assert all(set(later[0]) <= set(earlier[0]) for earlier, later in pairwise(asked))


def test_padding_of_a_search_is_no_result() -> None:
    found = np.array([[3, -1, -1]]), np.array([[0.5, -np.inf, -np.inf]], np.float32)
    ids, scores = widened(lambda *_: found, lambda ids: ids, 1, 2, efforts=[3])
    assert ids.tolist() == [[3, -1]]
    assert scores.tolist() == [[0.5, -np.inf]]
