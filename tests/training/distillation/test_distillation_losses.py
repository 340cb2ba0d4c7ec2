"""The losses of distillation, beside their definitions in plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from kindred.training.distillation.losses import descriptors, feature_loss, pooled_loss, relational_loss

torch.manual_seed(5)
MINE, THEIRS = (torch.nn.functional.normalize(torch.randn(5, width), dim=1) for width in (7, 4))


def apart(rows: torch.Tensor) -> list[float]:
    values = rows.tolist()
    distances = [math.dist(values[a], values[b]) for a in range(5) for b in range(a + 1, 5)]
    mean = sum(distances) / len(distances)
    return [distance / mean for distance in distances]


def test_relations_are_the_huber_loss_of_distances_over_their_mean() -> None:
    gaps = [abs(a - b) for a, b in zip(apart(MINE), apart(THEIRS), strict=True)]
    expected = sum(gap * gap / 2 if gap < 1 else gap - 0.5 for gap in gaps) / len(gaps)
    assert relational_loss(MINE, THEIRS).item() == pytest.approx(expected, rel=1e-5)


def test_relations_that_are_alike_cost_nothing_whatever_the_dimension_and_the_scale() -> None:
    wider = torch.cat([MINE, torch.zeros(5, 3)], dim=1) * 4
    assert relational_loss(MINE, wider).item() == pytest.approx(0, abs=1e-9)


def test_equal_vectors_have_a_gradient_that_is_a_number() -> None:
    same = torch.ones(4, 3, requires_grad=True)
    relational_loss(same, torch.eye(4)).backward()  # type: ignore[no-untyped-call]
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_the_pooled_loss_is_one_minus_the_cosine_from_the_mean_of_the_targets() -> None:
    other = torch.nn.functional.normalize(torch.randn(5, 7), dim=1)
    mean = [sum(column) / 5 for column in zip(*other.tolist(), strict=True)]
    cosines = []
    for mine, theirs in zip(MINE.tolist(), other.tolist(), strict=True):
        a, b = ([value - middle for value, middle in zip(row, mean, strict=True)] for row in (mine, theirs))
        cosines.append(sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b))
    assert pooled_loss(MINE, other).item() == pytest.approx(1 - sum(cosines) / 5, rel=1e-5)


def test_a_student_that_knows_no_more_than_the_mean_is_told_so() -> None:
    targets = torch.nn.functional.normalize(torch.ones(5, 7) + torch.randn(5, 7) / 10, dim=1)
    blind = targets.mean(0) + torch.randn(5, 7) / 1000
    assert torch.cosine_similarity(blind, targets).mean().item() > 0.98
    assert pooled_loss(blind, targets).item() > 0.5


def test_features_are_compared_position_by_position() -> None:
    maps, targets = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    squares = [(a - b) ** 2 for a, b in zip(maps.flatten().tolist(), targets.flatten().tolist(), strict=True)]
    assert feature_loss(maps, targets).item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)


def test_a_description_is_the_unit_gem_vector() -> None:
    maps = torch.rand(2, 3, 4, 5) + 0.1
    cubes = [[sum(v**3 for v in channel.flatten().tolist()) / 20 for channel in image] for image in maps]
    roots = [[value ** (1 / 3) for value in image] for image in cubes]
    expected = [[value / math.hypot(*image) for value in image] for image in roots]
    assert descriptors(maps).tolist() == [pytest.approx(image, rel=1e-4) for image in expected]
