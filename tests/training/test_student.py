"""The student: its maps fit its plan, and teacher forcing cuts the chain into pieces."""

from __future__ import annotations

import pytest
import torch

from kindred.training.architectures.student import Chain, InvertedBlock, Stage, Student

LEAD = Chain(
    "lead",
    (Stage("lead/a", 8, 4, blocks=1, expansion=2), Stage("lead/b", 12, 8, blocks=2, expansion=3)),
    head=20,
)
OTHER = Chain(
    "other", (Stage("other/c", 10, 16, blocks=1, expansion=2), Stage("", 6, 16, blocks=1, expansion=2)), 5, start=1
)


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    return Student([LEAD, OTHER])


@pytest.mark.parametrize("size", [(64, 64), (50, 70), (32, 96)])
def test_each_map_has_the_channels_and_stride_of_its_plan(student: Student, size: tuple[int, int]) -> None:
    height, width = size
    maps = student(torch.zeros(2, 3, height, width))
    expected = {"lead/a": (8, 4), "lead/b": (12, 8), "lead": (20, 8), "other/c": (10, 16), "other": (5, 16)}
    assert set(maps) == set(expected)
    for name, (channels, stride) in expected.items():
        assert maps[name].shape == (2, channels, -(-height // stride), -(-width // stride))


def test_heads_are_never_negative(student: Student) -> None:
    maps = student(torch.randn(2, 3, 64, 64))
    assert min(maps["lead"].min().item(), maps["other"].min().item()) >= 0


def test_forced_each_stage_learns_from_its_own_loss_alone(student: Student) -> None:
    images = torch.randn(2, 3, 64, 64)
    forced = {name: maps.detach() for name, maps in student(images).items()}
    student(images, forced)["lead/b"].square().sum().backward()
    trunk = student.stages[0]
    assert isinstance(trunk, torch.nn.ModuleList)
    first, second = trunk
    assert all(parameter.grad is None for parameter in first.parameters())
    assert all(parameter.grad is not None for parameter in second.parameters())


def test_whole_the_gradient_reaches_the_stem(student: Student) -> None:
    student(torch.randn(2, 3, 64, 64))["other"].sum().backward()
    gradient = student.stem.conv.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_a_residual_block_starts_as_the_identity() -> None:
    student = Student([Chain("t", (Stage("t/a", 8, 2, blocks=2, expansion=2),), head=3)])
    blocks = [module for module in student.modules() if isinstance(module, InvertedBlock)]
    assert [block.residual for block in blocks] == [False, True]
    block = blocks[1]
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(block(x), x)


def test_alone_early_stages_see_fewer_images(student: Student) -> None:
    images = torch.randn(16, 3, 64, 64)
    forced = {name: maps.detach() for name, maps in student(images).items()}
    counts = {name: len(maps) for name, maps in student(images, forced).items()}
    assert counts == {"lead/a": 4, "lead/b": 8, "lead": 16, "other/c": 16, "other": 16}
    student.eval()
    whole, alone = student(images), student(images, forced)
    assert torch.allclose(whole["lead/a"][:4], alone["lead/a"], atol=1e-5)
