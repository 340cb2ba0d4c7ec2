"""How near vectors are, and the mean of what counts: what the losses have in common.

All is computed in float32 at least, under autocast too: a bfloat16 cosine is right within 0.004, which is more than
what many margins and temperatures tell apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["distances", "log_sum", "mean_over", "nan_unless_finite", "similarities", "squared_distances"]


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


def log_sum(exponents: Tensor, counted: Tensor, *, plus_one: bool = False, dim: int = 1) -> Tensor:
    """Return log Σ e^x over `dim` of the exponents that are `counted`, with `plus_one` log(1 + Σ e^x).

    Large exponents do not overflow. Where none is counted it is 0 with `plus_one`, else the lowest finite number, so
    that the gradient is 0 and not NaN.
    """
    lowest = torch.finfo(exponents.dtype).min
    kept = exponents.where(counted, lowest)
    padding = (0, 1) if dim == 1 else (0, 0, 0, 1)  # one more column, or one more row
    return F.pad(kept, padding, value=0.0 if plus_one else lowest).logsumexp(dim=dim)


def nan_unless_finite(values: Tensor, counted: Tensor) -> Tensor:
    """Return 0 where all `values` that are `counted` are finite numbers, else NaN; it has no gradient.

    Added to a loss that chooses among pairs by comparing them: a comparison with NaN is false, so a vector that is
    NaN would drop out of the choice and the loss would look as if there were nothing more to learn.
    """
    return torch.where((counted & ~values.isfinite()).any(), torch.nan, 0.0).to(values.dtype)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
