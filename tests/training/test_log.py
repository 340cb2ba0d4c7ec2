"""`log.csv`: what is written is read again, and a run that goes on cuts what came after its checkpoint."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest

from kindred.errors import TrainingError
from kindred.training.log import Log, LogRow, read_log


def _steps(file: Path) -> list[tuple[int, str]]:
    return [(row.step, row.name) for row in read_log(file)]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    log = Log(file, step=0)
    assert file.read_bytes() == b"step,epoch,seconds,part,name,value\r\n"
    log.write(25, 0.5, 3.25, "training", {"loss": 1.23456789, 'a "strange", name': -2.0})
    log.write(50, 1, 7, "validation", {"mAP": math.nan})
    log.write(50, 1, 7, "plan", {})
    first, second, third = read_log(file)
    assert first == LogRow(25, 0.5, 3.2, "training", "loss", 1.23457)
    assert second == LogRow(25, 0.5, 3.2, "training", 'a "strange", name', -2.0)
    assert third[:5] == (50, 1.0, 7.0, "validation", "mAP")
    assert math.isnan(third.value)


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    Log(file, step=0).write(3, 0, 0, "training", {"loss": 1})
    Log(file, step=0)
    assert read_log(file) == []


def test_a_run_that_goes_on_cuts_what_came_after_its_step(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    log = Log(file, step=0)
    for step in (0, 10, 20):
        log.write(step, step / 10, 0, "validation", {"mAP": 0})
        log.write(step, step / 10, 0, "plan", {"batches": 9})
        log.write(step + 5, step / 10 + 0.5, 0, "training", {"loss": 1})
        log.write(step + 10, step / 10 + 1, 0, "training", {"loss": 1})
    text = file.read_bytes()
    # After an epoch: its validation stays, the plan of the next one is made anew.
    Log(file, step=10).write(10, 1, 0, "plan", {"batches": 7})
    assert _steps(file) == [
        *((0, "mAP"), (0, "batches"), (5, "loss"), (10, "loss"), (10, "mAP")),
        (10, "batches"),
    ]
    file.write_bytes(text)
    # Amid an epoch: its plan stays.
    Log(file, step=15)
    assert _steps(file)[-3:] == [(10, "mAP"), (10, "batches"), (15, "loss")]
    assert file.read_bytes() == text[: len(file.read_bytes())]


def test_a_log_that_went_away_starts_anew(tmp_path: Path) -> None:
    Log(tmp_path / "log.csv", step=40).write(41, 1, 0, "training", {"loss": 1})
    assert _steps(tmp_path / "log.csv") == [(41, "loss")]


def test_a_last_row_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    log = Log(file, step=0)
    log.write(1, 0.1, 0, "training", {"loss": 0.25})
    whole = file.read_bytes()
    log.write(2, 0.2, 0, "training", {"loss": 0.12345})
    text = file.read_bytes()
    for length in range(len(whole), len(text)):
        file.write_bytes(text[:length])
        assert _steps(file) == [(1, "loss")], text[:length]
    Log(file, step=1).write(2, 0.2, 0, "training", {"loss": 0.12345})
    assert file.read_bytes() == text


@pytest.mark.parametrize("text", [b"one\ntwo\n", b"step\n1,2,3\n", b"\n\xff\xfe\n", b"\nx,0,0,training,loss,1\n"])
def test_what_is_no_log_is_named(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(text)
    with pytest.raises(TrainingError, match=r"log\.csv: not the log of a run \(.*\); remove it") as raised:
        read_log(file)
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log.csv"
    log = Log(file, step=0)
    log.write(1, 0, 0, "training", {"loss": 1})
    before = file.read_bytes()

    opened = Path.open

    def full(self: Path, mode: str = "r", **given: Any) -> Any:
        if mode == "a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, **given)

    monkeypatch.setattr(Path, "open", full)
    told = r"log\.csv: the log cannot be written \(the disk is full\); the checkpoint is intact; free some disk"
    with pytest.raises(TrainingError, match=told):
        log.write(2, 0, 0, "training", {"loss": 1})
    with pytest.raises(TrainingError, match=told):
        Log(file, step=1)
    assert file.read_bytes() == before
