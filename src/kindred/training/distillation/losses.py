"""What a student is to take from its teachers: each position, the description, how images lie to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kindred.pooling import gem

__all__ = ["descriptors", "feature_loss", "pooled_loss", "relational_loss"]


def feature_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of maps (B, C, H, W) (Romero et al. 2015).

    Where the targets are standardised, it is the share of their variance that is left unexplained.
    """
    return F.mse_loss(maps.float(), targets)


def descriptors(maps: Tensor) -> Tensor:
    """Pool maps (B, C, H, W) to what a search would compare: the unit GeM vectors (B, C)."""
    return F.normalize(gem(maps.float(), eps=1e-3), dim=1)


def pooled_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """Return one minus the mean cosine of vectors (B, D) and those of the teacher, seen from the mean of the latter.

    GeM vectors of all images share most of what they are: on groceries the mean of MobileNetV2's has two and a half
    times the energy of what tells them apart. By the mean alone a student is close to its teacher, and finds nothing.
    """
    mean = targets.mean(0)
    return 1 - F.cosine_similarity(vectors - mean, targets - mean).mean()


def relational_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """Return the Huber loss of the distances between images, each set over its mean (RKD-D: Park et al. 2019).

    vectors, targets: (B, D) and (B, D'), of the student and of the teacher, B at least 2. What matters to a search is
    which images are nearer than others, and that is all this looks at.
    """
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=vectors.device)

    def apart(rows: Tensor) -> Tensor:
        distances = (rows[first] - rows[second]).square().sum(1).clamp_min(1e-12).sqrt()
        return distances / distances.mean()

    return F.smooth_l1_loss(apart(vectors), apart(targets))
