"""Smooth AP: average precision with a sigmoid in place of the step function, so that it has a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from kindred.training.losses.measures import nan_unless_finite, similarities

__all__ = ["smooth_ap"]


def smooth_ap(queries: Tensor, references: Tensor, relation: Tensor, *, temperature: float = 0.01) -> Tensor:
    """Return 1 − the mean smooth average precision of the queries with at least one positive.

    Each query (B, D) ranks the references (M, D) with a known relation (B, M). The rank of a
    positive is 1 + Σ sigmoid(d / temperature) over the others, d being how much more similar they are; its precision
    is its rank among the positives by its rank among all. The smaller the temperature, the nearer to the step, and
    the fewer pairs have a gradient. Source: Brown et al. 2020, who count the query as one of its own positives.
    """
    s = similarities(queries, references)
    known, positive = relation != 0, relation > 0
    q, p = positive.nonzero(as_tuple=True)
    ahead = torch.sigmoid((s[q] - s[q, p, None]) / temperature)  # (P, M): only positives have a precision
    # Each stands ahead of itself by sigmoid(0) = ½; with this ½ more it makes the 1 of a rank.
    precision = ((ahead * positive[q]).sum(dim=1) + 0.5) / ((ahead * known[q]).sum(dim=1) + 0.5)
    shares = 1 / positive.sum(dim=1).clamp_min(1)[q]
    loss = ((1 - precision) * shares).sum() / positive.any(dim=1).sum().clamp_min(1)
    return loss + nan_unless_finite(s.detach(), known)
