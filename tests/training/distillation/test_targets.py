"""Targets: the teachers' maps, standardised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kindred.training.distillation.layout import plan_student
from kindred.training.distillation.targets import Targets
from tiny_teacher import TinyTeacher

BATCH = np.random.default_rng(2).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def targets_of(teacher: TinyTeacher) -> Targets:
    targets = Targets([teacher], plan_student([teacher]))
    targets.calibrate([BATCH])
    return targets


def test_inner_maps_are_standardised_by_channel_and_the_last_stays_positive(teacher: TinyTeacher) -> None:
    maps = targets_of(teacher)(BATCH)
    assert set(maps) == {"tiny/inner", "tiny"}
    rows = maps["tiny/inner"].transpose(0, 1).flatten(1)
    assert rows.mean(1).tolist() == [pytest.approx(0, abs=1e-3)] * 6
    assert rows.var(1).tolist() == [pytest.approx(1, abs=0.01)] * 6
    assert maps["tiny"].min() >= 0
    raw = torch.from_numpy(teacher.run(BATCH)[1])
    ratios = (maps["tiny"] / raw)[raw > 0.01]
    assert (ratios - ratios.mean()).abs().max() < 1e-4 * ratios.mean()


def test_what_was_measured_can_be_kept(teacher: TinyTeacher) -> None:
    targets = targets_of(teacher)
    again = Targets([teacher], plan_student([teacher]))
    assert again.state_dict() == {}
    again.load_state_dict(targets.state_dict())
    for name, maps in targets(BATCH).items():
        assert torch.equal(maps, again(BATCH)[name])


def test_the_maps_of_a_teacher_that_does_not_pad_are_fitted() -> None:
    class Unpadded(TinyTeacher):
        def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            inner, last = super().run(batch)
            return inner[:, :, 1:, 1:], last[:, :, :-1, :-1]

    maps = targets_of(Unpadded())(BATCH)
    assert {name: tuple(each.shape[2:]) for name, each in maps.items()} == {"tiny/inner": (8, 8), "tiny": (4, 4)}
