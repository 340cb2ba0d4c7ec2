"""How near vectors are, and the mean of what counts: what the losses have in common.

All is computed in float32 at least, under autocast too: a bfloat16 cosine is right within 0.004, which is more than
what many margins and temperatures tell apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distances", "mean_over", "similarities", "squared_distances"]


def similarities(queries: Tensor, references: Tensor) -> Tensor:
    """Return the dot products of (B, D) and (M, D), for unit vectors the cosines: (B, M)."""
    with torch.autocast(queries.device.type, enabled=False):
        return _wide(queries) @ _wide(references).T


def squared_distances(queries: Tensor, references: Tensor) -> Tensor:
    """Return the squared Euclidean distances of (B, D) and (M, D): (B, M), at least 0.

    By the dot products, so that no (B, M, D) differences are held; right within some 1e-7 for unit vectors.
    """
    own, others = (_wide(x).square().sum(dim=1) for x in (queries, references))
    return (own[:, None] + others[None, :] - 2 * similarities(queries, references)).clamp_min(0)


def distances(queries: Tensor, references: Tensor) -> Tensor:
    """Return the Euclidean distances of (B, D) and (M, D): (B, M).

    The slope of a root grows beyond all bounds at 0. Distances below the rounding of their squares (3e-4 in float32)
    are noise: they are set to it, and have the gradient 0.
    """
    squares = squared_distances(queries, references)
    return squares.clamp_min(torch.finfo(squares.dtype).eps).sqrt()


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the `values` that are `counted`, a mask of their shape; where none is, a 0 with a gradient."""
    return torch.where(counted, values, 0).sum() / counted.sum().clamp_min(1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
