"""Multi-similarity loss: pairs are weighted by their own and their relative similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kindred.training.losses.measures import log_sum, mean_over, nan_unless_finite, similarities

__all__ = ["informative_pairs", "multi_similarity"]


def multi_similarity(
    queries: Tensor,
    references: Tensor,
    relation: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    epsilon: float = 0.1,
) -> Tensor:
    """Return the mean over queries of log(1 + Σ e^(−alpha(s_p − base)))/alpha + log(1 + Σ e^(beta(s_n − base)))/beta.

    s are the cosines of a query (B, D) and its positives (p) or negatives (n) among the references (M, D) by the
    relation (B, M), of which only the `informative_pairs` by `epsilon` count. The mean is over the queries with any
    known pair. Source: Wang et al. 2019.
    """
    s = similarities(queries, references)
    positive, negative = informative_pairs(s.detach(), relation, epsilon=epsilon)
    pull = log_sum(alpha * (base - s), positive, plus_one=True) / alpha
    push = log_sum(beta * (s - base), negative, plus_one=True) / beta
    known = relation != 0
    return mean_over(pull + push, known.any(dim=1)) + nan_unless_finite(s.detach(), known)


def informative_pairs(similarity: Tensor, relation: Tensor, *, epsilon: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return masks (B, M) of the informative positive and negative pairs.

    A positive is informative if it is less similar than the most similar negative of its query plus `epsilon`; a
    negative if it is more similar than the least similar positive less `epsilon`. A query without positives has no
    informative negatives, and the other way round.
    Source: Wang et al. 2019, equations 11 and 12.
    """
    infinity = torch.finfo(similarity.dtype).max
    positive, negative = relation > 0, relation < 0
    # A column that is never the extreme, so that a query without references has one as well.
    hardest_negative = F.pad(similarity.where(negative, -infinity), (0, 1), value=-infinity).amax(dim=1, keepdim=True)
    hardest_positive = F.pad(similarity.where(positive, infinity), (0, 1), value=infinity).amin(dim=1, keepdim=True)
    return positive & (similarity - epsilon < hardest_negative), negative & (similarity + epsilon > hardest_positive)
