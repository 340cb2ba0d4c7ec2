"""Layout: which stages a student has, for the teachers that it is to follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kindred.training.architectures.student import Chain, Stage

__all__ = ["Teacher", "plan_student"]

# Hidden channels of a block, by the stride of its map: about 10M parameters for MobileNetV2 and MobileNetEdgeTPU.
HIDDEN = {2: 64, 4: 64, 8: 144, 16: 320, 32: 512}
FREE_CHANNELS = 320  # of a stage that no map of the teacher guides


class Teacher(Protocol):
    """What a teacher must offer: maps of its taps, in order of depth, the last one being the description's."""

    @property
    def name(self) -> str:
        """Unique among the teachers."""

    @property
    def taps(self) -> Sequence[tuple[str, int, int]]:
        """(name, channels, stride) of each tap."""

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to one map (B, C, h, w) for each tap."""


def plan_student(teachers: Sequence[Teacher]) -> tuple[Chain, ...]:
    """Lay out a student for `teachers`: the first from the image on, the others from half their final stride on."""
    lead, *others = teachers
    trunk = _chain(lead, lead.taps[:-1], start=-1)
    chains = [trunk]
    for teacher in others:
        half = teacher.taps[-1][2] // 2
        before = [tap for tap in teacher.taps[:-1] if tap[2] == half][-1:]
        start = max((i for i, stage in enumerate(trunk.stages) if stage.stride <= half), default=0)
        chains.append(_chain(teacher, [*before, *(tap for tap in teacher.taps[:-1] if tap[2] > half)], start=start))
    return tuple(chains)


def _chain(teacher: Teacher, taps: Sequence[tuple[str, int, int]], *, start: int) -> Chain:
    """One block for each map; two for the first of a chain, which has the most to make up for."""
    stages = [
        Stage(f"{teacher.name}/{tap}", channels, stride, blocks=2 if index == 0 else 1, hidden=HIDDEN[stride])
        for index, (tap, channels, stride) in enumerate(taps)
        if stride in HIDDEN
    ]
    _, head, stride = teacher.taps[-1]
    if not stages or stages[-1].stride < stride:
        stages.append(Stage("", FREE_CHANNELS, stride, blocks=3, hidden=HIDDEN[stride]))
    return Chain(teacher.name, tuple(stages), head, start)
