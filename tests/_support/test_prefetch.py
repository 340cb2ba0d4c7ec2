"""Batches made ahead of time: in order, not too many, and none after the end."""

from __future__ import annotations

import os
import threading
from contextlib import closing

import pytest

from forked import in_fork
from kindred._support.prefetch import prefetched
from kindred.errors import UsageError


def test_all_come_in_order_whichever_is_ready_first() -> None:
    # The first of every two is ready only when the second is.
    ready = [threading.Event() for _ in range(20)]

    def make(number: int) -> int:
        ready[number].set()
        assert number % 2 == 1 or ready[number + 1].wait(10)
        return number * number

    assert list(prefetched(make, range(20))) == [number * number for number in range(20)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_any_number_of_them(count: int) -> None:
    assert list(prefetched(str, range(count), ahead=4)) == [str(number) for number in range(count)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_close_a_run_of_its_parent_but_not_go_on_with_it() -> None:
    blocked = threading.Event()

    def make(number: int) -> int:
        assert number < 2 or blocked.wait(60)
        return number

    def child() -> bool:
        with pytest.raises(UsageError, match="belongs to the process that was forked; start another one in the child"):
            next(numbers)
        return list(prefetched(str, range(3))) == ["0", "1", "2"]

    def close() -> bool:
        numbers.close()
        return True

    with closing(prefetched(make, range(6), workers=2, ahead=1)) as numbers:
        assert next(numbers) == 0
        assert in_fork(child)
        assert in_fork(close)
        blocked.set()
        assert list(numbers) == [1, 2, 3, 4, 5]


def test_no_more_are_made_ahead_than_asked_for() -> None:
    made: list[int] = []
    third, more = threading.Event(), threading.Event()

    def make(number: int) -> int:
        made.append(number)
        (third if number < 4 else more).set()
        return number

    with closing(prefetched(make, range(100), workers=1, ahead=3)) as batches:
        assert next(batches) == 0
        assert not more.wait(0.05)
        assert len(made) <= 4
        assert next(batches) == 1
        assert more.wait(10)


def test_an_error_comes_in_the_place_of_its_batch() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise ValueError("the third")
        return number

    with closing(prefetched(make, range(10))) as batches:
        assert [next(batches) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(batches)
    assert not _workers()


def test_closing_ends_the_work() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    batches = prefetched(make, iter(range(10**9)), ahead=4)
    assert next(batches) == 0
    batches.close()
    assert len(made) <= 6
    assert not _workers()


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
