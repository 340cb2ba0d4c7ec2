"""The rate of a task follows its last seconds."""

from __future__ import annotations

import pytest

from kindred._support.pace import Pace


def test_rate_and_time_left_at_a_steady_pace() -> None:
    pace = Pace(100.0)
    for second in range(1, 31):
        pace.note(4 * second, 100.0 + second)
    assert pace.rate(130.0) == pytest.approx(4.0)
    assert pace.seconds_left(200, 130.0) == pytest.approx(20.0)


def test_nothing_is_known_before_the_first_item_nor_without_a_total() -> None:
    pace = Pace(0.0)
    assert pace.rate(0.0) is None
    assert pace.rate(5.0) is None
    assert pace.seconds_left(10, 5.0) is None
    pace.note(5, 10.0)
    assert pace.rate(10.0) == pytest.approx(0.5)
    assert pace.seconds_left(0, 10.0) is None


def test_the_first_moment_says_nothing() -> None:
    pace = Pace(0.0, done=100)
    pace.note(101, 0.00002)
    assert pace.rate(0.00002) is None
    assert pace.seconds_left(200, 0.00002) is None
    pace.note(102, 0.5)
    assert pace.rate(0.5) == pytest.approx(4.0)


def test_a_fast_beginning_is_forgotten() -> None:
    pace = Pace(0.0)
    pace.note(100_000, 1.0)
    for second in range(2, 32):
        pace.note(100_000 + 5 * (second - 1), float(second))
    assert pace.rate(31.0) == pytest.approx(5.0)
    assert pace.seconds_left(100_250, 31.0) == pytest.approx(20.0)


def test_a_standstill_lowers_the_rate() -> None:
    pace = Pace(0.0)
    for second in range(1, 11):
        pace.note(10 * second, float(second))
    assert pace.rate(20.0) == pytest.approx(5.0)
    pace.note(100, 40.0)
    assert pace.rate(40.0) == 0
    assert pace.seconds_left(200, 40.0) is None


def test_a_resumed_task_counts_only_its_own_items() -> None:
    pace = Pace(0.0, done=5000)
    pace.note(5020, 10.0)
    assert pace.rate(10.0) == pytest.approx(2.0)
    assert pace.seconds_left(5010, 10.0) == 0


def test_many_updates_take_little_memory() -> None:
    pace = Pace(0.0)
    for update in range(1, 100_001):
        pace.note(update, update / 1000)
    assert len(pace._samples) <= 53
    assert pace.rate(100.0) == pytest.approx(1000, rel=0.03)
