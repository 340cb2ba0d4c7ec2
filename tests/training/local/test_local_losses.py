"""The losses of a local head, against what they should be by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kindred.training.local.head import CELL, KeypointHead, keypoint_scores, sampled
from kindred.training.local.losses import as_signs, cells_of, cosine_loss, detection_loss, matching_loss, peak_loss


def test_matches_cost_nothing_where_right_ones_are_alike_and_wrong_ones_are_not() -> None:
    rows = torch.eye(4)
    wrong = ~torch.eye(4, dtype=torch.bool)
    assert matching_loss(rows, rows, wrong=wrong, temperature=0.05).item() < 1e-6
    assert matching_loss(rows, rows.roll(1, 0), wrong=wrong, temperature=0.5).item() == pytest.approx(
        math.log(math.exp(2) + 3), abs=1e-4
    )


def test_points_that_are_near_are_no_wrong_matches() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    near = torch.zeros(2, 2, dtype=torch.bool)
    assert matching_loss(rows, rows, wrong=near, temperature=0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert matching_loss(rows, rows, wrong=~near, temperature=0.1).item() == pytest.approx(math.log(2), abs=1e-5)


def test_signs_are_unit_vectors_and_pass_the_gradient() -> None:
    rows = torch.tensor([[0.3, -0.1, 0.0, -0.9]], requires_grad=True)
    signs = as_signs(rows)
    assert signs.tolist() == [[0.5, -0.5, 0.5, -0.5]]
    signs.sum().backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    assert rows.grad.tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_cosine() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    assert cosine_loss(rows, torch.tensor([[1.0, 0.0], [1.0, 0.0]])).item() == pytest.approx(0.5)


def test_cells_and_scores_agree_on_where_a_pixel_is() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [21.0, 12.0]])
    cells, places = cells_of(points)
    logits = torch.full((1, CELL * CELL + 1, 4, 5), -20.0)
    logits[:, -1] = 0
    for (x, y), place in zip(cells.tolist(), places.tolist(), strict=True):
        logits[0, place, y, x] = 20.0
    scores = keypoint_scores(logits)[0, 0]
    assert scores.shape == (28, 36)
    found = {(int(x), int(y)) for y, x in torch.nonzero(scores > 0.5).tolist()}
    assert found == {(0, 0), (3, 4), (21, 12)}
    labels = torch.full((1, 4, 5), CELL * CELL)
    for (x, y), place in zip(cells.tolist(), places.tolist(), strict=True):
        labels[0, y, x] = place
    assert detection_loss(logits, labels).item() < 1e-6
    labels[0, 0, 4] = 7  # a keypoint that was not found
    assert detection_loss(logits, labels).item() > 0.5
    labels[0, 0, 4] = -1
    assert detection_loss(logits, labels).item() < 1e-6


def test_a_peak_at_the_point_costs_least() -> None:
    scores = torch.zeros(1, 1, 20, 20)
    scores[0, 0, 10, 8] = 1.0
    number = torch.zeros(1, dtype=torch.long)
    at, beside = (peak_loss(scores, number, torch.tensor([[x, 10.0]])).item() for x in (8.0, 9.0))
    assert at < 0.01
    assert beside == pytest.approx(2.0, abs=0.01)  # a pixel away, and so is its spread
    flat = peak_loss(torch.zeros(1, 1, 20, 20), number, torch.tensor([[8.0, 10.0]])).item()
    assert flat == pytest.approx(np.mean([math.hypot(x, y) for x in range(-2, 3) for y in range(-2, 3)]), abs=1e-4)


def test_sampling_agrees_with_what_is_done_in_numpy() -> None:
    from kindred.features.maps import sample

    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 6, 5, 7)).astype(np.float32))
    points = np.array([(0.0, 0.0), (13.3, 21.7), (47.9, 31.2), (60.0, 50.0)], np.float32)
    own = torch.nn.functional.normalize(sampled(maps, torch.from_numpy(points)[None])[0], dim=1).numpy()
    assert own == pytest.approx(sample(maps[0].numpy(), points, stride=8, centre=0.0), abs=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (70, 93), (17, 33)])
def test_the_head_takes_images_of_any_size(size: tuple[int, int]) -> None:
    head = KeypointHead((8, 12, 16), dimension=16, width=32).eval()
    height, width = size
    maps = [
        torch.randn(2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip((8, 12, 16), (4, 8, 16), strict=True)
    ]
    logits, descriptors = head(torch.randn(2, 3, height, width), *maps)
    cells = (-(-height // 8), -(-width // 8))
    assert logits.shape == (2, 65, *cells)
    assert descriptors.shape == (2, 16, *cells)
