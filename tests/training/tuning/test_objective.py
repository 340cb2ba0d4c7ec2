"""Objectives: losses on classes and on pairs, with what they learn or remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from kindred.errors import UsageError
from kindred.training.losses import LOSSES
from kindred.training.mining import relation_of
from kindred.training.tuning.objective import ClassObjective, PairObjective, build_objective, check_objective


def _vectors(count: int = 6, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 4, generator=generator), dim=1).requires_grad_()


LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
NUMBERS = torch.arange(6)


def _relation(labels: Tensor = LABELS) -> Tensor:
    return torch.as_tensor(relation_of(labels, images=NUMBERS))


def _build(
    loss: str, *, memory: int = 0, options: Mapping[str, float | str] | None = None
) -> ClassObjective | PairObjective:
    made = build_objective(loss, classes=3, dimension=4, memory=memory, options=options or {})
    assert isinstance(made, ClassObjective | PairObjective)
    return made


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_taken_with_its_options(loss: str) -> None:
    objective, vectors = _build(loss, options=LOSSES[loss].options), _vectors()
    found = objective(vectors, NUMBERS, _relation(), LABELS)
    if isinstance(objective, ClassObjective):
        assert objective.classes.shape == (3, 4)
        expected = LOSSES[loss].function(vectors, objective.classes, LABELS)
    else:
        assert not list(objective.parameters())
        expected = LOSSES[loss].function(vectors, vectors, _relation())
    torch.testing.assert_close(found, expected)
    found.backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_options_change_the_loss() -> None:
    narrow, wide = (_build("contrastive", options={"margin": margin}) for margin in (0.1, 1.9))
    given = (_vectors(), NUMBERS, _relation(), LABELS)
    assert narrow(*given) < wide(*given)


def test_classes_learn() -> None:
    objective = _build("normalised_softmax")
    objective(_vectors(), NUMBERS, _relation(), LABELS).backward()
    assert isinstance(objective, ClassObjective)
    assert objective.classes.grad is not None
    assert objective.classes.grad.abs().sum() > 0


def test_a_memory_adds_what_came_before() -> None:
    objective = _build("contrastive", memory=10)
    assert isinstance(objective, PairObjective)
    assert objective.memory is not None
    first, second = _vectors(seed=1), _vectors(seed=2)
    other_labels, other_numbers = LABELS.flip(0), NUMBERS + 3
    plain = LOSSES["contrastive"].function
    torch.testing.assert_close(objective(first, NUMBERS, _relation(), LABELS), plain(first, first, _relation()))
    found = objective(second, other_numbers, _relation(other_labels), other_labels)
    known = torch.zeros(6, 12, dtype=torch.int8)
    for row in range(6):
        for column in range(12):
            label = other_labels[column] if column < 6 else LABELS[column - 6]
            number = other_numbers[column] if column < 6 else NUMBERS[column - 6]
            if number != other_numbers[row]:
                known[row, column] = 1 if label == other_labels[row] else -1
    torch.testing.assert_close(found, plain(second, torch.cat([second, first]), known))
    found.backward()
    assert first.grad is None
    assert len(objective.memory) == 10
    assert set(objective.state_dict()) == {
        f"memory.{name}" for name in ("vectors", "labels", "images", "steps", "stored")
    }


def test_nothing_is_remembered_outside_of_training() -> None:
    objective = _build("contrastive", memory=10)
    assert isinstance(objective, PairObjective)
    assert objective.memory is not None
    objective.eval()(_vectors(), NUMBERS, _relation(), LABELS)
    assert len(objective.memory) == 0


def test_without_labels_the_relation_is_enough() -> None:
    objective = _build("triplet")
    torch.testing.assert_close(
        objective(_vectors(), NUMBERS, _relation(), None),
        LOSSES["triplet"].function(_vectors(), _vectors(), _relation()),
    )


@pytest.mark.parametrize(
    ("loss", "memory", "options", "message"),
    [
        ("contrastiv", 0, {}, "unknown loss 'contrastiv'; did you mean 'contrastive'? known: "),
        ("arcface", 5, {}, "loss 'arcface' is on classes, not on pairs: a memory has no effect; leave it out"),
        (
            "contrastive",
            0,
            {"margins": 1},
            "loss 'contrastive': unknown option 'margins'; did you mean 'margin'",
        ),
        (
            "contrastive",
            0,
            {"margin": "wide"},
            "loss 'contrastive': option margin is 'wide'; expected a number",
        ),
        (
            "contrastive",
            0,
            {"margin": True},
            "loss 'contrastive': option margin is True; expected a number",
        ),
        ("triplet", 0, {"triplets": 3}, "loss 'triplet': option triplets is 3; expected text, such as 'hardest'"),
    ],
)
def test_invalid_options_are_refused(loss: str, memory: int, options: dict[str, Any], message: str) -> None:
    for refused in (check_objective, _build):
        with pytest.raises(UsageError) as raised:
            refused(loss, memory=memory, options=options)
        assert str(raised.value).startswith(message)
