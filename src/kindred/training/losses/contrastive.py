"""Contrastive loss: the same thing is drawn together, another is pushed out to a margin.

There are two of them. `contrastive` takes the plain Euclidean distance and squares the hinge, as the toolboxes do;
`contrastive_squared` takes the squared distance and leaves the hinge as it is, as the survey has it. A margin of one
is none for the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kindred.training.losses.measures import distances, mean_over, squared_distances

__all__ = ["contrastive", "contrastive_squared"]


def contrastive(queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.7) -> Tensor:
    """Return the mean of ½D² over pairs of the same thing and ½max(0, margin − D)² over pairs of another.

    D is the Euclidean distance of queries (B, D) and references (M, D), in [0, 2] for unit vectors; the pairs are
    those known in the relation (B, M). cirtorch has the sum over the pairs of a batch for the mean, so a learning
    rate is not transferable. Source: Hadsell, Chopra and LeCun 2006; Radenović, Tolias and Chum 2018.
    """
    apart = distances(queries, references)
    terms = torch.where(relation > 0, apart.square(), (margin - apart).clamp_min(0).square()) / 2
    return mean_over(terms, relation != 0)


def contrastive_squared(queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.7) -> Tensor:
    """Return the mean of ½D over pairs of the same thing and ½max(0, margin − D) over pairs of another.

    D is the *squared* Euclidean distance of queries (B, D) and references (M, D), in [0, 4] for unit vectors; the
    pairs are those known in the relation (B, M). Source: Chen et al. 2021 (a survey), equations 11 and 13.
    """
    apart = squared_distances(queries, references)
    terms = torch.where(relation > 0, apart, (margin - apart).clamp_min(0)) / 2
    return mean_over(terms, relation != 0)
