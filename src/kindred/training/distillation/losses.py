"""The losses of a distillation: on each position of the maps, on the descriptors, on the distances between images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kindred.pooling import gem

__all__ = ["descriptors", "feature_loss", "pooled_loss", "relational_loss"]


def feature_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of maps (B, C, H, W) and the teacher's (Romero et al. 2015).

    For standardised targets it is the share of their variance that is not explained.
    """
    return F.mse_loss(maps.float(), targets)


def descriptors(maps: Tensor) -> Tensor:
    """Return the GeM descriptors of maps (B, C, H, W), which a search compares: unit vectors (B, C)."""
    return F.normalize(gem(maps.float(), eps=1e-3), dim=1)


def pooled_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """Return one minus the mean cosine of descriptors (B, D) and the teacher's, both centred by the teacher's mean.

    GeM descriptors of all images have most in common: on Grocery Store the mean of MobileNetV2's has two and a half
    times the energy of what distinguishes them. A student that only learns the mean has a high cosine without
    centring, and finds nothing.
    """
    mean = targets.mean(0)
    return 1 - F.cosine_similarity(vectors - mean, targets - mean).mean()


def relational_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """Return the Huber loss of the distances between images, each divided by their mean (RKD-D: Park et al. 2019).

    vectors, targets: (B, D) and (B, D'), descriptors by the student and by the teacher, B at least 2. Only which
    images are closer than others counts, as in a search.
    """
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=vectors.device)

    def relative_distances(rows: Tensor) -> Tensor:
        distances = (rows[first] - rows[second]).square().sum(1).clamp_min(1e-12).sqrt()
        return distances / distances.mean()

    return F.smooth_l1_loss(relative_distances(vectors), relative_distances(targets))
