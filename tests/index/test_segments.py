"""The images of an index in a few segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.index.segments import Segments


@dataclass(frozen=True)
class Names:
    """A segment of the names of images, and how often each was moved."""

    names: tuple[int, ...]
    moved: tuple[int, ...]

    @classmethod
    def of(cls, names: NDArray[np.int64]) -> Names:
        return cls(tuple(names.tolist()), (0,) * len(names))

    @property
    def count(self) -> int:
        return len(self.names)

    def joined(self, other: Names) -> Names:
        return Names(self.names + other.names, tuple(times + 1 for times in self.moved + other.moved))

    def alive(self, images: NDArray[np.bool_]) -> Names:
        assert images.shape == (self.count,)
        kept = np.flatnonzero(images).tolist()
        return Names(tuple(self.names[at] for at in kept), tuple(self.moved[at] for at in kept))


@given(st.lists(st.tuples(st.integers(1, 6), st.sets(st.integers(1, 60), max_size=8)), max_size=12))
def test_it_holds_the_images_added_and_not_removed(changes: list[tuple[int, set[int]]]) -> None:
    segments: Segments[Names] = Segments()
    expected: list[int] = []
    last = 0
    for count, gone in changes:
        ids = np.arange(last + 1, last + 1 + count)
        last += count
        segments.add(ids, Names.of(ids))
        expected += ids.tolist()
        assert segments.remove(sorted(gone)) == len(gone & set(expected))
        expected = [number for number in expected if number not in gone]
        live, parts, order = segments.state
        assert order is None
        held = [name for part in parts for name in part.names]
        assert held == live.ids.tolist()
        assert live.ids[live.alive].tolist() == expected
        assert live.removed <= len(live.ids) / 2
        assert all(part.count for part in parts)


STEPS = st.tuples(st.sampled_from(["replace", "remove"]), st.sets(st.integers(1, 30), max_size=12))


@given(st.lists(STEPS, max_size=14))
def test_an_image_that_is_replaced_is_found_once_and_in_order_of_id(changes: list[tuple[str, set[int]]]) -> None:
    segments: Segments[Names] = Segments()
    expected: dict[int, int] = {}
    for step, (kind, numbers) in enumerate(changes, 1):
        ids = np.array(sorted(numbers), np.int64)
        if kind == "replace":
            segments.replace(ids, Names.of(ids + 100 * step))  # so that the name says when it came
            expected |= {number: number + 100 * step for number in numbers}
        else:
            assert segments.remove(ids) == len(numbers & set(expected))
            expected = {number: name for number, name in expected.items() if number not in numbers}
        view = segments.state
        held = np.array([name for part in view.segments for name in part.names], np.int64)
        live = view.live
        assert live.ids[live.alive].tolist() == sorted(expected)
        assert view.by_id(held)[live.alive].tolist() == [expected[number] for number in sorted(expected)]
        assert held.size - live.count <= held.size / 2


def test_segments_are_few_and_images_are_rarely_moved() -> None:
    segments: Segments[Names] = Segments()
    for number in range(1, 1001):
        segments.add(np.array([number]), Names.of(np.array([number])))
        parts = segments.state.segments
        assert [part.count for part in parts] == [1 << at for at in range(9, -1, -1) if number >> at & 1]
    assert max(times for part in parts for times in part.moved) == 9


def test_an_earlier_state_does_not_change() -> None:
    segments: Segments[Names] = Segments()
    segments.add(np.array([1, 2]), Names.of(np.array([1, 2])))
    live, parts, _ = segments.state
    segments.add(np.array([3, 4]), Names.of(np.array([3, 4])))
    segments.remove([1, 2, 3])
    assert live.ids.tolist() == [1, 2]
    assert live.alive.all()
    assert [part.names for part in parts] == [(1, 2)]
    assert [part.names for part in segments.state.segments] == [(4,)]


def test_ids_that_do_not_ascend_are_refused_without_effect() -> None:
    segments: Segments[Names] = Segments()
    segments.add(np.array([5]), Names.of(np.array([5])))
    with pytest.raises(UsageError, match="ids: expected whole numbers in ascending order, all above 5"):
        segments.add(np.array([4]), Names.of(np.array([4])))
    assert [part.names for part in segments.state.segments] == [(5,)]
