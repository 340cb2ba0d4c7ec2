"""Losses that take the softmax of a query's similarities: a positive is to be picked out among the others."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kindred.training.losses.measures import log_sum, mean_over, nan_unless_finite, similarities

__all__ = ["nt_xent", "sup_con"]


def sup_con(queries: Tensor, references: Tensor, relation: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Return the mean over queries of the mean over positives of −log(e^(s_p / t) / Σ e^(s_k / t)), t the temperature.

    s are the cosines of a query (B, D) and the references (M, D): p those that show the same thing, k all of which
    anything is known by the relation (B, M), p and the other positives included. Queries without positives do not
    count. Source: Khosla et al. 2020, equation 2 (the sum outside the logarithm).
    """
    s = similarities(queries, references) / temperature
    known, positive = relation != 0, relation > 0
    terms = (log_sum(s, known)[:, None] - s).where(positive, 0).sum(dim=1) / positive.sum(dim=1).clamp_min(1)
    return mean_over(terms, positive.any(dim=1)) + nan_unless_finite(s.detach(), known)


def nt_xent(queries: Tensor, references: Tensor, relation: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Return the mean over positive pairs of −log(e^(s_p / t) / (e^(s_p / t) + Σ e^(s_n / t))), t the temperature.

    s are the cosines of a query (B, D) and the references (M, D) that show the same thing (p) or another (n) by the
    relation (B, M); the other positives of the query do not count in the sum. Also called InfoNCE or the N-pairs loss.
    Source: Chen et al. 2020 (SimCLR), Sohn 2016.
    """
    s = similarities(queries, references) / temperature
    others = log_sum(s, relation < 0)[:, None]
    return mean_over(F.softplus(others - s), relation > 0) + nan_unless_finite(s.detach(), relation != 0)
