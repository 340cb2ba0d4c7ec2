from __future__ import annotations

import io
import sys
import time

import pytest

from kindred.cli import progress
from kindred.cli.progress import Meter


class Clock:
    """A clock that goes when it is told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_without_a_terminal_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Indexing") as meter:
        for second in range(1, 26):
            clock.now += 1
            meter.update(4 * second, 200, aside="3 skipped" if second > 15 else "")
    assert capsys.readouterr().err.splitlines() == [
        "Indexing: 40 of 200 images, 4.0/s, 40 s left",
        "Indexing: 80 of 200 images, 4.0/s, 30 s left, 3 skipped",
    ]


def test_a_new_part_of_a_task_has_a_pace_of_its_own(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Reading") as meter:
        clock.now += 11
        meter.update(1100, 1100)
        meter.begin("Fitting")
        clock.now += 2
        meter.update(1, 40)
        clock.now += 9
        meter.update(19, 40)
    assert capsys.readouterr().err.splitlines()[1] == "Fitting: 19 of 40 images, 1.7/s, 12 s left"


def test_a_resumed_run_counts_only_its_own_updates(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Reading") as meter:
        meter.begin("Training", unit="updates", done=5000)
        clock.now += 10
        meter.update(5020, 6000)
    assert capsys.readouterr().err == "Training: 5,020 of 6,000 updates, 2.0/s, 8 min 10 s left\n"


def test_a_phase_that_goes_on_after_an_interruption_counts_only_its_own(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Meter("Reading") as meter:
        meter.stage("Finding", 801, 1000)
        clock.now += 10
        meter.stage("Finding", 821, 1000)
    assert capsys.readouterr().err == "Finding: 821 of 1,000 images, 2.0/s, 1 min 30 s left\n"


def test_a_resumed_run_has_its_own_rate_on_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    with Meter("Reading") as meter:
        deadline = time.monotonic() + 20
        while meter._bar is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert meter._bar is not None
        meter.begin("Training", unit="updates", done=100_000)
        for done in range(100_001, 100_004):
            time.sleep(0.05)
            meter.update(done, 200_000)
        speed = meter._bar.tasks[0].speed
        assert speed is not None
        assert speed <= 21  # three updates, 0.05 s each at least; those before would make it a million


def test_a_step_without_progress_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.05)
    found = ""
    with Meter("Reading") as meter:
        meter.begin("Validating")
        deadline = time.monotonic() + 20
        while "so far" not in found and time.monotonic() < deadline:
            time.sleep(0.05)
            found += capsys.readouterr().err
    assert found.startswith("Validating: 0")
    assert "so far\n" in found


def test_an_unknown_total_has_no_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Reading", unit="pictures") as meter:
        clock.now += 20
        meter.update(10, 0)
    assert capsys.readouterr().err == "Reading: 10 pictures, 0.5/s\n"


def test_short_tasks_and_json_show_no_progress(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Indexing") as meter:
        clock.now += 9
        meter.update(1, 2)
    with Meter("Indexing", quiet=True) as meter:
        clock.now += 99
        meter.update(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_temporary_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Meter("Indexing [all]") as meter:
        deadline = time.monotonic() + 20
        while "of 200 images" not in terminal.getvalue() and time.monotonic() < deadline:
            meter.update(40, 200, aside="3 skipped")
            time.sleep(0.01)
    shown = terminal.getvalue()
    assert "Indexing [all]" in shown
    assert "40 of 200 images" in shown
    assert "3 skipped" in shown
    assert shown.endswith("\x1b[2K")  # the line is cleared


def test_a_quick_task_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Meter("Indexing") as meter:
        meter.update(1, 2)
    assert terminal.getvalue() == ""
