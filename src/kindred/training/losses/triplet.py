"""Triplet loss: the same thing is to be nearer than another, by a margin.

Which triplets of a batch count is chosen by a name of `kindred.training.mining.TRIPLETS`.
"""

from __future__ import annotations

from torch import Tensor

from kindred.training.losses.measures import distances, mean_over, nan_unless_finite, squared_distances
from kindred.training.mining.in_batch import find_triplets

__all__ = ["triplet", "triplet_squared"]


def triplet(
    queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.1, triplets: str = "hardest"
) -> Tensor:
    """Return the mean of max(0, margin + D(a, p) − D(a, n)) over the triplets that are not yet right.

    D is the Euclidean distance: a is one of the queries (B, D), p and n are references (M, D) that show the same
    thing and another by the relation (B, M). The mean is that of pytorch-metric-learning: triplets with nothing to
    learn from (0) are not counted, so that the step does not shrink with their growing number. `triplets`: all,
    hardest or semi_hard. Source: Schroff, Kalenichenko and Philbin 2015; Hermans, Beyer and Leibe 2017.
    """
    return _mean_hinge(distances(queries, references), relation, margin, triplets)


def triplet_squared(
    queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.1, triplets: str = "hardest"
) -> Tensor:
    """Return the mean of max(0, margin + D(a, p) − D(a, n)) over the triplets that are not yet right.

    As `triplet`, where D is the *squared* Euclidean distance, also for the choice of triplets. cirtorch has the sum
    of the terms. Source: Wang et al. 2014; Schroff et al. 2015.
    """
    return _mean_hinge(squared_distances(queries, references), relation, margin, triplets)


def _mean_hinge(apart: Tensor, relation: Tensor, margin: float, triplets: str) -> Tensor:
    a, p, n = find_triplets(apart.detach(), relation, triplets, margin=margin)
    terms = (margin + apart[a, p] - apart[a, n]).clamp_min(0)
    return mean_over(terms, terms > 0) + nan_unless_finite(apart.detach(), relation != 0)
