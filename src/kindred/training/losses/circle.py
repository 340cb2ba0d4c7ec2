"""Circle loss: each pair is drawn or pushed the harder, the farther it is from where it should be."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kindred.training.losses.measures import log_sum, mean_over, nan_unless_finite, similarities

__all__ = ["circle"]


def circle(
    queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.4, gamma: float = 80.0
) -> Tensor:
    """Return the mean over queries of log(1 + Σ e^(gamma·a_n(s_n − m)) · Σ e^(−gamma·a_p(s_p − 1 + m))), m the margin.

    s are the cosines of a query (B, D) and the references (M, D) that show the same thing (p) or another (n) by the
    relation (B, M). The weights a_p = max(0, 1 + m − s_p) and a_n = max(0, s_n + m) are constants as far as gradients
    go. The mean is over the queries that have both. The paper takes m = 0.25 and gamma = 256 for faces, 0.4 and 80 for
    retrieval. Source: Sun et al. 2020.
    """
    s = similarities(queries, references)
    positive, negative = relation > 0, relation < 0
    to_positive, to_negative = (1 + margin - s.detach()).clamp_min(0), (s.detach() + margin).clamp_min(0)
    pull = log_sum(-gamma * to_positive * (s - 1 + margin), positive)
    push = log_sum(gamma * to_negative * (s - margin), negative)
    both = positive.any(dim=1) & negative.any(dim=1)
    # Without one of the two, its sum stands at the lowest number, to which nothing can be added.
    terms = F.softplus((pull + push).where(both, 0))
    return mean_over(terms, both) + nan_unless_finite(s.detach(), relation != 0)
