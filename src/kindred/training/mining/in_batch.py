"""Triplets of a batch: which anchors, positives and negatives a triplet loss uses.

Each function takes distances (B, M) and the relation (B, M) and returns three index tensors (T,): anchors among the
rows, positives and negatives among the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from kindred.errors import UsageError
from kindred.hints import check_known

__all__ = ["TRIPLETS", "TripletMining", "all_triplets", "find_triplets", "hardest_triplets", "semi_hard_triplets"]

Triplets: TypeAlias = tuple[Tensor, Tensor, Tensor]


def all_triplets(distances: Tensor, relation: Tensor) -> Triplets:
    """Return every triplet of an anchor, one of its positives and one of its negatives, in order."""
    del distances  # all triplets are used, whatever their distances
    a, p = (relation > 0).nonzero(as_tuple=True)
    pair, n = (relation < 0)[a].nonzero(as_tuple=True)
    return a[pair], p[pair], n


def hardest_triplets(distances: Tensor, relation: Tensor) -> Triplets:
    """Return for each anchor its farthest positive and its nearest negative, where it has both ("batch hard").

    Source: Hermans, Beyer and Leibe 2017.
    """
    positive, negative = relation > 0, relation < 0
    (a,) = (positive.any(dim=1) & negative.any(dim=1)).nonzero(as_tuple=True)
    farthest = distances.where(positive, -torch.inf)[a]
    closest = distances.where(negative, torch.inf)[a]
    return a, _first(farthest.neg()), _first(closest)


def semi_hard_triplets(distances: Tensor, relation: Tensor, *, margin: float) -> Triplets:
    """Return for each anchor and positive the nearest negative that is farther than it, by less than `margin`.

    A pair without such a negative has no triplet. Source: Schroff, Kalenichenko and Philbin 2015.
    """
    a, p = (relation > 0).nonzero(as_tuple=True)
    rows, own = distances[a], distances[a, p, None]
    between = (relation < 0)[a] & (rows > own) & (rows < own + margin)
    (kept,) = between.any(dim=1).nonzero(as_tuple=True)
    return a[kept], p[kept], _first(rows.where(between, torch.inf)[kept])


@dataclass(frozen=True)
class TripletMining:
    """One entry of TRIPLETS: its function, whether it takes a `margin`, what it selects, and who described it."""

    function: Callable[..., Triplets]
    margin: bool
    summary: str
    source: str


TRIPLETS: dict[str, TripletMining] = {
    "all": TripletMining(all_triplets, False, "all triplets", "Hermans et al. 2017"),
    "hardest": TripletMining(
        hardest_triplets, False, "farthest positive and nearest negative of each anchor", "Hermans et al. 2017"
    ),
    "semi_hard": TripletMining(
        semi_hard_triplets,
        True,
        "nearest negative beyond the positive, within the margin",
        "Schroff et al. 2015",
    ),
}


def find_triplets(distances: Tensor, relation: Tensor, name: str, *, margin: float) -> Triplets:
    """Return the triplets that TRIPLETS[`name`] chooses; raises UsageError for an unknown name."""
    check_known("triplets", name, TRIPLETS, error=UsageError)
    mining = TRIPLETS[name]
    return mining.function(distances, relation, **({"margin": margin} if mining.margin else {}))


def _first(values: Tensor) -> Tensor:
    """Return the column of the smallest value of each row, the first of equal ones: (T, M) → (T,)."""
    # One more column, since the minimum over no columns is an error even for no rows.
    return F.pad(values, (0, 1), value=torch.inf).argmin(dim=1)
