"""Layout: which stages a student has, derived from the taps of its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kindred.training.architectures.student import Chain, Stage

__all__ = ["Teacher", "plan_student"]

# The expansion of a block, by the stride of its map. The inverted residuals of the teachers have 6 or less; blocks up
# to stride 4 are fused and expand less.
EXPANSION = {2: 4, 4: 4, 8: 8, 16: 8, 32: 12}
FREE_CHANNELS = 320  # of a stage without a target
FIRST_OF_BRANCH = (
    4  # blocks of a branch's first stage: its input, a map of the other teacher, differs much from its target
)


class Teacher(Protocol):
    """A network to reproduce: the maps of its taps, in order of depth; the last one is the one that is pooled."""

    @property
    def name(self) -> str:
        """Unique among the teachers."""

    @property
    def digest(self) -> str:
        """Identifies its weights: another network of the same name has another digest."""

    @property
    def taps(self) -> Sequence[tuple[str, int, int]]:
        """(name, channels, stride) of each tap."""

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to one map (B, C, h, w) for each tap."""


def plan_student(teachers: Sequence[Teacher]) -> tuple[Chain, ...]:
    """Lay out a student: a trunk that follows the first teacher, and a branch for each of the others.

    A branch leaves the trunk at a quarter of its teacher's final stride. The early maps of two networks are similar, so
    that one can be computed from the other's; later ones are less and less similar.
    """
    lead, *others = teachers
    trunk = _chain(lead, lead.taps[:-1], start=-1)
    chains = [trunk]
    for teacher in others:
        early = max(2, teacher.taps[-1][2] // 4)
        before = [tap for tap in teacher.taps[:-1] if tap[2] == early][-1:]
        start = max((i for i, stage in enumerate(trunk.stages) if stage.stride <= early), default=0)
        chains.append(_chain(teacher, [*before, *(tap for tap in teacher.taps[:-1] if tap[2] > early)], start=start))
    return tuple(chains)


def _chain(teacher: Teacher, taps: Sequence[tuple[str, int, int]], *, start: int) -> Chain:
    """Return the chain of a teacher: one block for each map, several for the first of a branch."""
    first = 1 if start < 0 else FIRST_OF_BRANCH
    stages = [
        Stage(f"{teacher.name}/{tap}", channels, stride, first if index == 0 else 1, EXPANSION[stride])
        for index, (tap, channels, stride) in enumerate(taps)
        if stride in EXPANSION
    ]
    _, head, stride = teacher.taps[-1]
    if not stages or stages[-1].stride < stride:
        stages.append(Stage("", FREE_CHANNELS, stride, 3, EXPANSION[stride]))
    return Chain(teacher.name, tuple(stages), head, start)
