from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kindred.duplicates.sketches import _frequencies, turned_frequencies
from kindred.duplicates.turns import TURNS, UPRIGHT, Turn
from lookalikes import photograph

PICTURE = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_turns_are_clockwise_and_mirroring_comes_first() -> None:
    assert Turn(degrees=90).apply(PICTURE).tolist() == [[8, 4, 0], [9, 5, 1], [10, 6, 2], [11, 7, 3]]
    assert Turn(mirrored=True).apply(PICTURE)[0].tolist() == [3, 2, 1, 0]
    assert Turn(mirrored=True, degrees=90).apply(PICTURE)[0].tolist() == [11, 7, 3]


@pytest.mark.parametrize(("one", "other"), list(product(TURNS, TURNS)))
def test_turns_are_composed(one: Turn, other: Turn) -> None:
    assert np.array_equal(one.then(other).apply(PICTURE), other.apply(one.apply(PICTURE)))


@pytest.mark.parametrize("turn", TURNS)
def test_turns_are_inverted(turn: Turn) -> None:
    assert turn.then(turn.inverse()) == turn.inverse().then(turn) == UPRIGHT


@pytest.mark.parametrize("turn", TURNS)
def test_frequencies_of_a_turned_picture_follow_from_those_of_the_picture(turn: Turn) -> None:
    square = np.asarray(photograph(3).convert("L").resize((32, 32)), np.float32)
    expected = _frequencies(np.ascontiguousarray(turn.apply(square)))
    np.testing.assert_allclose(turned_frequencies(_frequencies(square), turn), expected, atol=1e-4)
