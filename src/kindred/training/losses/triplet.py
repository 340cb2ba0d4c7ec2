"""Triplet loss: positives shall be closer than negatives by a margin.

The triplets of a batch are selected by a name of `kindred.training.mining.TRIPLETS`.
"""

from __future__ import annotations

from torch import Tensor

from kindred.training.losses.measures import distances, mean_over, nan_unless_finite, squared_distances
from kindred.training.mining.in_batch import find_triplets

__all__ = ["triplet", "triplet_squared"]


def triplet(
    queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.1, triplets: str = "hardest"
) -> Tensor:
    """Return the mean of max(0, margin + D(a, p) − D(a, n)) over the triplets that violate the margin.

    D is the Euclidean distance: a is one of the queries (B, D), p and n are references (M, D), a positive and
    a negative of it by the relation (B, M). The mean is that of pytorch-metric-learning: triplets with a loss of 0 are
    not counted, so that steps do not shrink as their number grows. `triplets`: all,
    hardest or semi_hard. Source: Schroff, Kalenichenko and Philbin 2015; Hermans, Beyer and Leibe 2017.
    """
    return _mean_hinge(distances(queries, references), relation, margin, triplets)


def triplet_squared(
    queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.1, triplets: str = "hardest"
) -> Tensor:
    """Return the mean of max(0, margin + D(a, p) − D(a, n)) over the triplets that violate the margin.

    As `triplet`, where D is the *squared* Euclidean distance, also for the selection of triplets. cirtorch takes the
    sum of the terms. Source: Wang et al. 2014; Schroff et al. 2015.
    """
    return _mean_hinge(squared_distances(queries, references), relation, margin, triplets)


def _mean_hinge(apart: Tensor, relation: Tensor, margin: float, triplets: str) -> Tensor:
    a, p, n = find_triplets(apart.detach(), relation, triplets, margin=margin)
    terms = (margin + apart[a, p] - apart[a, n]).clamp_min(0)
    return mean_over(terms, terms > 0) + nan_unless_finite(apart.detach(), relation != 0)
