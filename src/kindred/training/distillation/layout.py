"""Layout: which stages a student has, derived from the taps of its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kindred.training.architectures.student import Chain, Stage

__all__ = ["DEEPEST", "Teacher", "plan_student"]

# The expansion of a block, by the stride of its map. The inverted residuals of the teachers have 6 or less; blocks up
# to stride 4 are fused and expand less.
EXPANSION = {2: 4, 4: 4, 8: 8, 16: 8, 32: 12}
DEEPEST = max(EXPANSION)  # no map of a student has a larger stride
FREE_CHANNELS = 320  # of a stage without a target
FIRST_OF_BRANCH = (
    4  # blocks of a branch's first stage: its input, a map of the other teacher, differs much from its target
)


@dataclass(frozen=True)
class SideStage:
    """A stage of a side branch; `at` counts its target from the teacher's last map of that stride."""

    stride: int  # where the teacher's last map has 32
    blocks: int
    expansion: int
    at: int
    joins: bool  # whether it begins with the maps of the chains before it, too


# Chosen by short runs, and by the time that they take (decisions/0008).
SIDE = (
    SideStage(16, blocks=2, expansion=6, at=-5, joins=True),
    SideStage(16, blocks=3, expansion=4, at=-1, joins=True),
    SideStage(32, blocks=3, expansion=6, at=-2, joins=False),
    SideStage(32, blocks=1, expansion=6, at=-1, joins=False),
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
    """Lay out a student: a trunk that follows the first teacher, a branch for the second, side branches for others.

    The branches leave the trunk at a quarter of their teacher's final stride. The early maps of two networks are
    similar, so that one can be computed from the other's; later ones are less and less similar. A side branch is
    smaller: it sees the maps of all chains before it, which together retain more than either, at its start and at half
    the final stride.
    """
    lead, *others = teachers
    trunk = _chain(lead, lead.taps[:-1], start=-1)
    chains = [trunk]
    for teacher in others[:1]:
        early = max(2, teacher.taps[-1][2] // 4)
        before = [tap for tap in teacher.taps[:-1] if tap[2] == early][-1:]
        start = max((i for i, stage in enumerate(trunk.stages) if stage.stride <= early), default=0)
        chains.append(_chain(teacher, [*before, *(tap for tap in teacher.taps[:-1] if tap[2] > early)], start=start))
    for teacher in others[1:]:
        chains.append(_side_chain(teacher, chains))
    return tuple(chains)


def _side_chain(teacher: Teacher, chains: Sequence[Chain]) -> Chain:
    """Return a side branch by SIDE; of a teacher with fewer maps, or finer ones, with fewer stages."""
    _, head, final = teacher.taps[-1]
    trunk = chains[0].stages
    guided = [i for i, stage in enumerate(trunk) if stage.target] or [0]
    start = max((i for i in guided if trunk[i].stride <= final // 4), default=guided[0])
    before, others = trunk[start].stride, chains[1:]
    stages: list[Stage] = []
    for side in SIDE:
        stride = max(2, side.stride * final // DEEPEST)
        taps = [tap for tap in teacher.taps[:-1] if tap[2] == stride]
        name, channels, _ = taps[max(side.at, -len(taps))] if taps else ("", FREE_CHANNELS, stride)
        target = f"{teacher.name}/{name}" if name else ""
        if stride < before or (stages and (target, stride) == (stages[-1].target, stages[-1].stride)):
            continue
        has_target = bool((stages[-1] if stages else trunk[start]).target)
        joined = _last_maps(others, before) if side.joins and has_target else ()
        stages.append(Stage(target, channels, stride, side.blocks, side.expansion, joined))
        before, others = stride, chains
    return Chain(teacher.name, tuple(stages), head, start)


def _last_maps(chains: Sequence[Chain], stride: int) -> tuple[str, ...]:
    """Return of each chain the last target at a stride, if it has one."""
    found = ([stage.target for stage in chain.stages if stage.target and stage.stride == stride] for chain in chains)
    return tuple(targets[-1] for targets in found if targets)


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
