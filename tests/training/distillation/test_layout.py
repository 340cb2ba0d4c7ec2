"""Layout: where the stages of a student lie, by the maps of its teachers."""

from __future__ import annotations

from kindred.training.distillation.layout import plan_student
from tiny_teacher import TinyTeacher


def test_a_second_teacher_starts_at_a_quarter_of_its_final_stride() -> None:
    lead_weight, other = TinyTeacher("lead"), TinyTeacher("other")
    lead_weight.taps = [("a", 4, 4), ("b", 8, 8), ("c", 16, 16), ("d", 32, 32), ("last", 64, 32)]
    other.taps = [("p", 4, 8), ("q", 8, 16), ("r", 9, 16), ("s", 32, 32), ("last", 50, 32)]
    trunk, branch = plan_student([lead_weight, other])
    assert [stage.target for stage in trunk.stages] == ["lead/a", "lead/b", "lead/c", "lead/d"]
    assert [stage.blocks for stage in trunk.stages] == [1, 1, 1, 1]
    assert trunk.stages[branch.start].target == "lead/b"
    assert [stage.target for stage in branch.stages] == ["other/p", "other/q", "other/r", "other/s"]
    assert [stage.blocks for stage in branch.stages] == [4, 1, 1, 1]
    assert (trunk.head, branch.head) == (64, 50)


def test_a_teacher_with_one_tap_gets_a_free_stage() -> None:
    teacher = TinyTeacher()
    teacher.taps = [("last", 40, 16)]
    (chain,) = plan_student([teacher])
    assert [(stage.target, stage.stride) for stage in chain.stages] == [("", 16)]
