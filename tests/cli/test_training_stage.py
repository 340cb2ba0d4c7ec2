"""What a training run does is shown stage by stage, each with a rate of its own."""

from __future__ import annotations

from typing import get_args

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from kindred.cli import progress
from kindred.cli.progress import Meter
from kindred.cli.train import print_progress
from kindred.cli.training_stage import READING, TITLES, show_reading
from kindred.training.loop import Progress, Stage, announce


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_every_stage_has_a_title() -> None:
    assert TITLES.keys() == set(get_args(Stage))


def test_a_resumed_run_shows_the_rate_of_its_own_updates(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter(READING) as meter:
        show_reading(meter, 300, 300)
        for stage in ("preparing", "validating"):
            announce(lambda here: print_progress(meter, here, quiet=False), stage)
        for step in range(41, 62):  # two a second, after 3 epochs of 100 and 40 updates of the fourth
            print_progress(meter, Progress(3, 10, step, 100, {"loss": 0.5}), quiet=False)
            clock.now += 0.5
        clock.now += 1
        print_progress(meter, Progress(3, 10, 62, 100, {"loss": 0.5}), quiet=False)
    assert capsys.readouterr().err == "Training: 361 of 1,000 updates, 2.0/s, 5 min 20 s left, epoch 4, loss 0.500\n"


def test_the_report_of_a_validation_is_no_fast_update(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Meter(READING) as meter:
        for number in (1, 2):
            print_progress(meter, Progress(0, 4, number, 100, {"loss": 0.5}), quiet=True)
        announce(lambda here: print_progress(meter, here, quiet=True), "validating")
        clock.now += 11
        print_progress(meter, Progress(0, 4, 100, 100, {}, {"mAP": 0.5}), quiet=True)
        clock.now += 0.01
        meter._line_due = clock.now
        print_progress(meter, Progress(1, 4, 1, 100, {"loss": 0.4}), quiet=True)
    assert capsys.readouterr().err.splitlines() == [
        "Training: 100 of 400 updates, epoch 1, loss 0.500",
        "Training: 101 of 400 updates, epoch 2, loss 0.400",
    ]


def test_each_stage_is_named_while_it_lasts(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    stages: list[Stage] = ["preparing", "validating", "planning", "training", "exporting"]
    with Meter(READING) as meter:
        show_reading(meter, 300, 300)
        for stage in stages:
            announce(lambda here: print_progress(meter, here, quiet=False), stage)
            clock.now += 11
            meter._print_due_line()
        show_reading(meter, 1, 20)  # of the next run, as of a local head
        clock.now += 11
        show_reading(meter, 12, 20)
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [*(TITLES[stage] for stage in stages), READING]
