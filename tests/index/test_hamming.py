"""The inverted file of visual words: votes, bursts of repeated descriptors, and the passes of a query."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.index import HammingIndex, best_of_passes
from kindred.index.hamming import SIGMA, VOTERS
from kindred.store import VisualWords, WordBatch

ONES = (1 << 64) - 1


def words(*pairs: tuple[int, int], passes: tuple[int, ...] = ()) -> VisualWords:
    """Words with the number of bits that are set in their signatures."""
    signatures = [(1 << bits) - 1 for _, bits in pairs]
    return VisualWords(np.array([word for word, _ in pairs], np.uint16), np.array(signatures, np.uint64), passes)


def index_of(*images: VisualWords) -> HammingIndex:
    index = HammingIndex()
    counts = np.array([len(each.words) for each in images])
    every = [np.concatenate([each[at] for each in images]) for at in (0, 1)]
    index.add(np.arange(1, len(images) + 1), WordBatch(counts, every[0], every[1]))
    return index


def weight(seen: int, total: int) -> float:
    return (1 - math.log(seen) / math.log(total)) ** 2


def test_votes_follow_distance_and_rarity() -> None:
    index = index_of(words((1, 0), (2, 0)), words((1, 10), (3, 0)), words((4, 0), (5, 0)))
    (scores,) = index.scores(words((1, 0), (3, 0)))
    expected = [
        weight(2, 6),
        weight(2, 6) * math.exp(-((10 / SIGMA) ** 2)) + weight(1, 6),
        0,
    ]
    assert scores == pytest.approx(np.array(expected) / math.sqrt(2 * 2), rel=1e-6)


def test_a_repeated_pattern_counts_less_than_as_many_different_words() -> None:
    chequered = words(*[(1, 0)] * 8)
    varied = words(*[(word, 0) for word in range(2, 10)])
    index = index_of(chequered, varied, words(*[(word, 0) for word in range(20, 28)]))
    # The query has the pattern eight times, as the first image has, and eight different words of the second.
    (scores,) = index.scores(words(*[(1, 0)] * 8, *[(word, 0) for word in range(2, 10)]))
    assert scores[0] == pytest.approx(weight(8, 24) / math.sqrt(8) / math.sqrt(8 * 16), rel=1e-6)
    assert scores[1] == pytest.approx(8 * weight(1, 24) / math.sqrt(8 * 16), rel=1e-6)


def test_the_passes_of_a_query_are_compared_apart() -> None:
    index = index_of(words((1, 0), (2, 0)), words((3, 0), (4, 0)), words((1, 0), (3, 0)))
    first, second = words((1, 0), (2, 0)), words((3, 0), (5, 0), (6, 0))
    both = words((1, 0), (2, 0), (3, 0), (5, 0), (6, 0), passes=(2, 3))
    apart = np.concatenate((index.scores(first), index.scores(second)))
    np.testing.assert_allclose(index.scores(both), apart)
    assert [len(each.words) for each in both.parts] == [2, 3]
    found = index.search(both, 3)
    assert found.ids.tolist() == [[1, 3, 2], [2, 3, 1]]
    assert best_of_passes(found).ids.tolist() == [[1, 3, 2]]


def test_distant_signatures_do_not_vote() -> None:
    index = index_of(words((1, 0)), words((1, 64)))
    assert index.scores(words((1, 1)))[0, 1] == 0
    assert index.scores(words((1, 1)))[0, 0] >= 0
    assert index.scores(VisualWords(np.array([1], np.uint16), np.array([ONES], np.uint64)))[0, 0] == 0


def test_of_a_word_only_the_first_descriptors_of_the_query_vote() -> None:
    index = index_of(words((1, 0), (1, 1), (2, 0)), words((1, 60), (3, 0)))
    # Beyond the third, a descriptor of the same word changes nothing but the length of the query.
    few = words((1, 0), (1, 0), (1, 0), (2, 0))
    many = words((1, 0), (1, 0), (1, 0), (2, 0), *[(1, 60)] * 12)
    np.testing.assert_allclose(index.scores(many), index.scores(few) * math.sqrt(4 / 16), rtol=1e-6)
    assert index.scores(many)[0, 1] == 0


@pytest.mark.parametrize("repeats", [20, 500])
def test_the_comparisons_of_a_query_are_bounded_whatever_it_shows(
    repeats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures without detail have all their keypoints in few words, and so have the images they are compared with."""
    index = index_of(*[words(*[(1, bit) for bit in range(20)]) for _ in range(50)])
    compared: list[int] = []
    count = np.bitwise_count

    def counted(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
        compared.append(len(bits))
        return count(bits)

    monkeypatch.setattr(np, "bitwise_count", counted)
    index.scores(words(*[(1, 0)] * repeats))
    assert sum(compared) == VOTERS * 50 * 20
