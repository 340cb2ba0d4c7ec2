"""The losses of a local head: on matches between two views, on the teacher's descriptors, and on keypoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kindred.training.local.head import CELL

__all__ = ["as_signs", "cosine_loss", "detection_loss", "matching_loss", "peak_loss"]

NEAR = 6.0
"""Radius in pixels around a point in which other points do not count as wrong matches."""
RADIUS = 2
TEMPERATURE = 0.1
IGNORED = -1


def as_signs(descriptors: Tensor) -> Tensor:
    """Return ±1/√D by the signs of descriptors (…, D), with straight-through gradients (Bengio et al. 2013)."""
    signs = torch.where(descriptors >= 0, 1.0, -1.0) / descriptors.shape[-1] ** 0.5
    passed: Tensor = descriptors + (signs - descriptors).detach()
    return passed


def matching_loss(first: Tensor, second: Tensor, *, wrong: Tensor, temperature: float) -> Tensor:
    """Dual softmax over the similarities of two views' unit descriptors (N, D), in which row n matches row n.

    wrong: (N, N) bool, which pairs are wrong matches; all others except the right ones are ignored. Source: InfoNCE
    (van den Oord et al. 2018), in both directions.
    """
    similar = first @ second.T / temperature
    right = torch.eye(len(similar), dtype=torch.bool, device=similar.device)
    similar = similar.masked_fill(~(wrong | right), -1e4)
    target = torch.arange(len(similar), device=similar.device)
    return (nn.functional.cross_entropy(similar, target) + nn.functional.cross_entropy(similar.T, target)) / 2


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return one minus the mean cosine of descriptors (N, D) and the teacher's."""
    return 1 - nn.functional.cosine_similarity(student, teacher, dim=-1).mean()


def detection_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of cells (B, 65, h, w) and keypoint positions (B, h, w), 64 for none, −1 ignored."""
    return nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED)


def peak_loss(scores: Tensor, batch: Tensor, points: Tensor) -> Tensor:
    """Return how far the scores around points are from a peak there, in pixels: their soft-argmax, and its spread.

    scores: (B, 1, H, W). batch: (N,) the image of each point. points: (N, 2), x y from 0, at least 3 pixels from the
    border. Source: the reprojection and the dispersity peak losses of Zhao et al. 2023.
    """
    if not len(points):
        return scores.sum() * 0
    places = points.round().long()
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=scores.device)
    dy, dx = (each.reshape(-1) for each in torch.meshgrid(offsets, offsets, indexing="ij"))
    around = scores[batch[:, None], 0, places[:, 1:] + dy, places[:, :1] + dx]
    weights = torch.softmax(around / TEMPERATURE, 1)
    away = torch.stack((dx, dy), 1)[None] - (points - places)[:, None]
    mean = (weights[..., None] * away).sum(1).norm(dim=1)
    spread = (weights * away.float().norm(dim=2)).sum(1)
    apart: Tensor = (mean + spread).mean()
    return apart


def cells_of(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cell x y (N, 2) of points (N, 2), x y from 0, and their position in it, 0 to 63."""
    shifted = points.round().long() + CELL // 2
    inside = shifted % CELL
    return shifted // CELL, inside[:, 1] * CELL + inside[:, 0]
