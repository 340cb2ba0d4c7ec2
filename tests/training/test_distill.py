"""Distillation: it learns, it goes on exactly where it stopped, and it says what is wrong."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kindred.errors import TrainingError
from kindred.training.crops import CropPool
from kindred.training.distill import Distillation, Progress, Settings, distill, plan_student
from tiny_teacher import TinyTeacher

SETTINGS = Settings(steps=60, batch=8, sizes=(32,), alone=0.5, warmup=5, rate=4e-3, seed=3)


class StopHereError(Exception):
    pass


def weights(done: Distillation) -> dict[str, torch.Tensor]:
    return done.student.state_dict()


def test_it_learns_what_the_teacher_does(teacher: TinyTeacher, pool: CropPool, tmp_path: Path) -> None:
    seen: list[Progress] = []
    done = distill([teacher], pool, settings=SETTINGS, folder=tmp_path, progress=seen.append, validate_every=20)
    assert [here.step for here in seen] == list(range(1, 61))
    early, late = seen[0].losses, seen[-1].losses
    assert late["tiny"] < 0.5 * early["tiny"]
    assert late["tiny/inner"] < 0.5 * early["tiny/inner"]
    checked = {here.step: here.validation for here in seen if here.validation}
    assert list(checked) == [20, 40, 60]
    assert done.validation == checked[60]
    assert checked[60]["tiny.gem"] < checked[20]["tiny.gem"]


def test_a_stopped_run_goes_on_exactly(teacher: TinyTeacher, pool: CropPool, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=10)
    straight = distill([teacher], pool, settings=settings, folder=tmp_path / "straight")

    def stop(here: Progress) -> None:
        if here.step == 7:
            raise StopHereError

    with pytest.raises(StopHereError):
        # With checkpoints after every step, the one of step 6 is what is found again.
        distill([teacher], pool, settings=settings, folder=tmp_path / "cut", progress=stop, checkpoint_every=0)
    resumed: list[int] = []
    again = distill(
        [teacher], pool, settings=settings, folder=tmp_path / "cut", progress=lambda here: resumed.append(here.step)
    )
    assert resumed == [7, 8, 9, 10]
    for name, value in weights(straight).items():
        assert torch.equal(value, weights(again)[name]), name


def test_a_checkpoint_of_other_settings_is_refused(teacher: TinyTeacher, pool: CropPool, tmp_path: Path) -> None:
    distill([teacher], pool, settings=replace(SETTINGS, steps=2), folder=tmp_path)
    with pytest.raises(TrainingError, match="belongs to a run with other settings"):
        distill([teacher], pool, settings=replace(SETTINGS, steps=3), folder=tmp_path)


def test_a_diverging_run_stops(pool: CropPool, tmp_path: Path) -> None:
    class Broken(TinyTeacher):
        def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            return tuple(np.full_like(maps, np.nan) for maps in super().run(batch))

    with pytest.raises(TrainingError, match="step 0: the loss is nan"):
        distill([Broken()], pool, settings=replace(SETTINGS, steps=2), folder=tmp_path)


def test_the_log_has_the_losses(teacher: TinyTeacher, pool: CropPool, tmp_path: Path) -> None:
    distill([teacher], pool, settings=SETTINGS, folder=tmp_path)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["map"] for row in rows} == {"tiny", "tiny/inner", "tiny.gem"}
    assert {(row["step"], row["part"]) for row in rows} == {("50", "training"), ("60", "validation")}


def test_a_second_teacher_starts_at_half_its_final_stride() -> None:
    lead, other = TinyTeacher("lead"), TinyTeacher("other")
    lead.taps = [("a", 4, 4), ("b", 8, 8), ("c", 16, 16), ("d", 32, 32), ("last", 64, 32)]
    other.taps = [("p", 4, 8), ("q", 8, 16), ("r", 9, 16), ("s", 32, 32), ("last", 50, 32)]
    trunk, branch = plan_student([lead, other])
    assert [stage.target for stage in trunk.stages] == ["lead/a", "lead/b", "lead/c", "lead/d"]
    assert [stage.blocks for stage in trunk.stages] == [2, 1, 1, 1]
    assert trunk.stages[branch.start].target == "lead/c"
    assert [stage.target for stage in branch.stages] == ["other/r", "other/s"]
    assert (trunk.head, branch.head) == (64, 50)


def test_a_teacher_with_one_tap_gets_a_free_stage() -> None:
    teacher = TinyTeacher()
    teacher.taps = [("last", 40, 16)]
    (chain,) = plan_student([teacher])
    assert [(stage.target, stage.stride) for stage in chain.stages] == [("", 16)]


def test_the_maps_of_a_teacher_that_does_not_pad_are_fitted(pool: CropPool, tmp_path: Path) -> None:
    class Unpadded(TinyTeacher):
        def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            inner, last = super().run(batch)
            return inner[:, :, 1:, 1:], last[:, :, :-1, :-1]

    done = distill([Unpadded()], pool, settings=replace(SETTINGS, steps=2), folder=tmp_path)
    assert set(done.validation) == {"tiny", "tiny/inner", "tiny.gem"}
