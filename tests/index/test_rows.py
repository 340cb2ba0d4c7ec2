"""The growable array of rows of an index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred.errors import UsageError
from kindred.index.rows import LiveRows


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(1, 60), max_size=8)), max_size=12))
def test_it_holds_the_rows_added_and_not_removed(changes: list[tuple[int, set[int]]]) -> None:
    rows: LiveRows[np.uint8] = LiveRows(2, np.uint8)
    expected: dict[int, list[int]] = {}
    last = 0
    for count, gone in changes:
        ids = np.arange(last + 1, last + 1 + count)
        last += count
        rows.add(ids, np.repeat(ids, 2).reshape(-1, 2).astype(np.uint8))
        expected |= {number: [number, number] for number in ids.tolist()}
        assert rows.remove(sorted(gone)) == len(gone & expected.keys())
        expected = {number: row for number, row in expected.items() if number not in gone}
        live, held = rows.state
        assert dict(zip(live.ids[live.alive].tolist(), held[live.alive].tolist(), strict=True)) == expected
        assert live.removed <= len(live.ids) / 2


def test_an_earlier_state_does_not_change() -> None:
    rows: LiveRows[np.float32] = LiveRows(1, np.float32)
    rows.add(np.array([1, 2]), np.array([[1], [2]], np.float32))
    before = rows.state
    rows.add(np.array([3]), np.array([[3]], np.float32))
    between = rows.state
    rows.remove([1, 2])
    rows.add(np.array([4]), np.array([[4]], np.float32))
    assert before[1].tolist() == [[1], [2]]
    assert between[1].tolist() == [[1], [2], [3]]
    assert between[0].alive.all()
    assert rows.state[1].tolist() == [[3], [4]]


def test_adding_rarely_copies_earlier_rows() -> None:
    rows: LiveRows[np.float32] = LiveRows(1, np.float32)
    rooms = set()
    for number in range(1, 257):
        rows.add(np.array([number]), np.zeros((1, 1), np.float32))
        rooms.add(rows.state[1].ctypes.data)
    assert len(rooms) <= 9  # 1, 2, 4 … 256 rows of room


def test_ids_that_do_not_ascend_are_refused_without_effect() -> None:
    rows: LiveRows[np.float32] = LiveRows(1, np.float32)
    rows.add(np.array([5]), np.zeros((1, 1), np.float32))
    with pytest.raises(UsageError, match="ids: expected whole numbers in ascending order, all above 5"):
        rows.add(np.array([5]), np.ones((1, 1), np.float32))
    assert rows.state[1].tolist() == [[0]]
