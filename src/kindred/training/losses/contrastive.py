"""Contrastive loss: positive pairs are pulled together, negative pairs pushed apart up to a margin.

There are two variants. `contrastive` takes the Euclidean distance and squares the hinge, as the toolboxes do;
`contrastive_squared` takes the squared distance with a plain hinge, as in the survey. A margin for one does not suit
the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kindred.training.losses.measures import distances, mean_over, squared_distances

__all__ = ["contrastive", "contrastive_squared"]


def contrastive(queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.7) -> Tensor:
    """Return the mean of ½D² over positive pairs and ½max(0, margin − D)² over negative pairs.

    D is the Euclidean distance of queries (B, D) and references (M, D), in [0, 2] for unit vectors; the pairs are
    those known in the relation (B, M). cirtorch takes the sum over the pairs of a batch instead, so that learning
    rates are not transferable. Source: Hadsell, Chopra and LeCun 2006; Radenović, Tolias and Chum 2018.
    """
    apart = distances(queries, references)
    terms = torch.where(relation > 0, apart.square(), (margin - apart).clamp_min(0).square()) / 2
    return mean_over(terms, relation != 0)


def contrastive_squared(queries: Tensor, references: Tensor, relation: Tensor, *, margin: float = 0.7) -> Tensor:
    """Return the mean of ½D over positive pairs and ½max(0, margin − D) over negative pairs.

    D is the *squared* Euclidean distance of queries (B, D) and references (M, D), in [0, 4] for unit vectors; the
    pairs are those known in the relation (B, M). Source: Chen et al. 2021 (a survey), equations 11 and 13.
    """
    apart = squared_distances(queries, references)
    terms = torch.where(relation > 0, apart, (margin - apart).clamp_min(0)) / 2
    return mean_over(terms, relation != 0)
