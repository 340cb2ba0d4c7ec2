"""The student: its maps fit its plan, its stem whitens, and teacher forcing cuts the chain into pieces."""

from __future__ import annotations

import pytest
import torch

from kindred.training.architectures.student import Chain, FusedBlock, InvertedBlock, Stage, Stem, Student

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


def test_forced_some_pieces_can_be_asked_for(student: Student) -> None:
    student.eval()
    images = torch.randn(2, 3, 64, 64)
    maps = student(images)
    some = student(images, maps, {"lead/b", "other"})
    assert set(some) == {"lead/b", "other"}
    for name, found in some.items():  # given the student's own maps, they do what they do as one network
        assert torch.allclose(found, maps[name], atol=1e-5)


SIDE = Chain("side", (Stage("side/d", 7, 16, blocks=2, expansion=2, joined=("near/e",)),), head=4, start=1)
NEAR = Chain("near", (Stage("near/e", 9, 8, blocks=1, expansion=2),), head=6, start=1)


def test_a_branch_sees_the_maps_of_several_chains_joined() -> None:
    torch.manual_seed(0)
    student = Student([LEAD, NEAR, SIDE]).eval()
    images = torch.randn(2, 3, 64, 64)
    maps = student(images)
    assert student.segments[-2].before == ("lead/b", "near/e")
    forced = {**maps, "near/e": torch.zeros_like(maps["near/e"])}
    assert torch.equal(student(images, maps, {"side/d"})["side/d"], maps["side/d"])
    assert not torch.allclose(student(images, forced, {"side/d"})["side/d"], maps["side/d"], atol=1e-3)


def test_only_what_the_named_maps_need_is_computed(student: Student) -> None:
    ran: list[str] = []
    for name, module in (("other", student.heads[1]), ("lead", student.heads[0])):
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    assert set(student(torch.zeros(1, 3, 64, 64), names={"other"})) == {"other"}
    assert ran == ["other"]


def test_frozen_chains_stay_as_they_are_and_feed_what_is_trained() -> None:
    torch.manual_seed(0)
    student = Student([LEAD, NEAR, SIDE])
    student.freeze(2, stride=8)
    student.train()
    assert [segment.name for segment in student.trainable] == ["side/d", "side"]
    before = {name: value.clone() for name, value in student.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    student(images, {"side/d": torch.randn(2, 7, 4, 4)}, {"side/d", "side"})["side/d"].square().sum().backward()
    trained = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert trained
    assert all(name.startswith(("stages.2", "heads.2")) for name in trained)
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith(("stages.2", "heads.2")) for name in changed)  # running statistics
    # With a teacher's map of the new branch given, its input is still the earlier student's own output.
    own = student.eval()(images)
    assert torch.allclose(student(images, {"side/d": own["side/d"]}, {"side/d"})["side/d"], own["side/d"], atol=1e-6)


def test_layers_can_be_frozen_up_to_a_stride() -> None:
    student = Student([LEAD, NEAR, SIDE])
    student.freeze(3, stride=4)
    assert student.frozen == {"lead/a"}
    student.freeze(3, stride=8)
    assert [segment.name for segment in student.trainable] == ["side/d", "side"]
    assert not any(parameter.requires_grad for parameter in student.stem.parameters())


def test_a_branch_may_begin_where_no_map_guides() -> None:
    free = Chain("lead", (Stage("", 6, 8, blocks=1, expansion=2),), 9)
    student = Student([free, Chain("other", (Stage("other/c", 10, 16, blocks=1, expansion=2),), 5, start=0)])
    maps = student(torch.zeros(2, 3, 32, 32))
    assert {name: tuple(found.shape[1:]) for name, found in maps.items()} == {
        "lead": (9, 4, 4),
        "other/c": (10, 2, 2),
        "other": (5, 2, 2),
    }


def test_whole_the_gradient_reaches_the_stem(student: Student) -> None:
    student(torch.randn(2, 3, 64, 64))["other"].sum().backward()
    gradient = student.stem.conv.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(("stride", "kind"), [(4, FusedBlock), (8, InvertedBlock)])
def test_early_blocks_are_fused_and_a_residual_one_starts_as_the_identity(
    stride: int, kind: type[torch.nn.Module]
) -> None:
    steps = stride.bit_length() - 2  # behind the stem, of stride 2
    student = Student([Chain("t", (Stage("t/a", 8, stride, blocks=steps + 1, expansion=2),), head=3)])
    blocks = [module for module in student.modules() if isinstance(module, (FusedBlock, InvertedBlock))]
    assert all(isinstance(block, kind) for block in blocks)
    assert [block.residual for block in blocks] == [False] * steps + [True]
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(blocks[-1](x), x)


def test_a_whitened_basis_makes_the_numbers_of_a_patch_uncorrelated() -> None:
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(16, 3, 70, 70), 7, 1)
    images = smooth + 0.5 * smooth.mean(1, keepdim=True)  # neighbours are alike, and so are the channels
    stem = Stem(8)
    stem.whiten(images, floor=1e-9)
    with torch.no_grad():
        rows = stem.basis(images)[:, :, 1:-1, 1:-1].transpose(0, 1).flatten(1)  # without what pads the edges
    assert torch.allclose(rows @ rows.T / rows.shape[1], torch.eye(27), atol=0.1)
