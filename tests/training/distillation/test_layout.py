"""Layout: where the stages of a student lie, by the maps of its teachers."""

from __future__ import annotations

from kindred.training.distillation.layout import SIDE, plan_student
from tiny_teacher import TinyTeacher


def test_a_second_teacher_starts_at_a_quarter_of_its_final_stride() -> None:
    lead, other = TinyTeacher("lead"), TinyTeacher("other")
    lead.taps = [("a", 4, 4), ("b", 8, 8), ("c", 16, 16), ("d", 32, 32), ("last", 64, 32)]
    other.taps = [("p", 4, 8), ("q", 8, 16), ("r", 9, 16), ("s", 32, 32), ("last", 50, 32)]
    trunk, branch = plan_student([lead, other])
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


def test_a_third_teacher_gets_a_side_branch_behind_both_chains() -> None:
    lead, other, third = TinyTeacher("lead"), TinyTeacher("other"), TinyTeacher("third")
    lead.taps = [("a", 4, 4), ("b", 8, 8), ("c", 16, 16), ("d", 32, 32), ("last", 64, 32)]
    other.taps = [("p", 4, 8), ("q", 8, 16), ("r", 9, 16), ("s", 32, 32), ("last", 50, 32)]
    inner = [(f"u{at}", 20 + at, 16) for at in range(8)]
    third.taps = [("t", 5, 8), *inner, ("v", 30, 32), ("w", 31, 32), ("x", 32, 32), ("last", 40, 32)]
    two, three = plan_student([lead, other]), plan_student([lead, other, third])
    assert three[:2] == two
    side = three[2]
    assert three[0].stages[side.start].target == "lead/b"
    assert [(stage.target, stage.channels, stage.stride, stage.joined) for stage in side.stages] == [
        ("third/u3", 23, 16, ("other/p",)),
        ("third/u7", 27, 16, ("lead/c", "other/r")),
        ("third/w", 31, 32, ()),
        ("third/x", 32, 32, ()),
    ]
    assert [stage.blocks for stage in side.stages] == [side.blocks for side in SIDE]
    assert side.head == 40


def test_a_side_branch_of_a_teacher_with_few_maps_has_fewer_stages() -> None:
    lead, other, third = TinyTeacher("lead"), TinyTeacher("other"), TinyTeacher("third")
    for teacher in (lead, other, third):
        teacher.taps = [("a", 6, 4), ("last", 10, 16)]
    side = plan_student([lead, other, third])[2]
    assert [(stage.target, stage.stride, stage.joined) for stage in side.stages] == [
        ("", 8, ("other/a",)),
        ("", 16, ()),
    ]


def test_a_side_branch_may_begin_where_no_map_guides() -> None:
    lead = TinyTeacher("lead")
    lead.taps = [("last", 40, 16)]
    side = plan_student([lead, TinyTeacher("other"), lead])[2]
    assert (side.start, [(stage.stride, stage.joined) for stage in side.stages]) == (0, [(16, ())])
