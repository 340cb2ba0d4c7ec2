"""The table of all losses, and `find_loss`, which takes a name from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.training.losses.circle import circle
from kindred.training.losses.classification import arcface, cosface, cross_entropy, normalised_softmax, proxy_anchor
from kindred.training.losses.contrastive import contrastive, contrastive_squared
from kindred.training.losses.multi_similarity import multi_similarity
from kindred.training.losses.smooth_ap import smooth_ap
from kindred.training.losses.softmax_pairs import nt_xent, sup_con
from kindred.training.losses.triplet import triplet, triplet_squared

__all__ = ["LOSSES", "Loss", "find_loss"]


@dataclass(frozen=True)
class Loss:
    """One entry of LOSSES.

    function: to a scalar, for kind "pairs" from queries (B, D), references (M, D) and their relation (B, M); for kind
    "classes" from vectors (B, D), the classes' weights (K, D) and labels (B,). Vectors are unit vectors.
    summary: what it does, in a few words. source: who described it, for the documentation.
    """

    function: Callable[..., Tensor]
    kind: Literal["pairs", "classes"]
    summary: str
    source: str

    @property
    def options(self) -> dict[str, float | str]:
        """The function's options, with their defaults."""
        known = inspect.signature(self.function).parameters.values()
        return {each.name: each.default for each in known if each.kind is each.KEYWORD_ONLY}


LOSSES: dict[str, Loss] = {
    "contrastive": Loss(
        contrastive, "pairs", "½D² or ½max(0, m − D)², D the distance", "Radenović, Tolias and Chum 2018"
    ),
    "contrastive_squared": Loss(
        contrastive_squared, "pairs", "½D or ½max(0, m − D), D the squared distance", "Chen et al. 2021"
    ),
    "triplet": Loss(triplet, "pairs", "max(0, m + D(a, p) − D(a, n)), D the distance", "Hermans et al. 2017"),
    "triplet_squared": Loss(
        triplet_squared, "pairs", "max(0, m + D(a, p) − D(a, n)), D the squared distance", "Schroff et al. 2015"
    ),
    "multi_similarity": Loss(
        multi_similarity, "pairs", "pairs weighed by their own and their relative similarity", "Wang et al. 2019"
    ),
    "smooth_ap": Loss(smooth_ap, "pairs", "average precision with a sigmoid for the step", "Brown et al. 2020"),
    "circle": Loss(circle, "pairs", "pairs weighed by how far they are from where they should be", "Sun et al. 2020"),
    "sup_con": Loss(sup_con, "pairs", "softmax of the similarities, the mean over all positives", "Khosla et al. 2020"),
    "nt_xent": Loss(
        nt_xent, "pairs", "softmax of the similarities, each positive against the negatives", "Chen et al. 2020"
    ),
    "cross_entropy": Loss(cross_entropy, "classes", "softmax of the scaled dot products", "Babenko et al. 2014"),
    "normalised_softmax": Loss(
        normalised_softmax, "classes", "softmax of the cosines by a temperature", "Zhai and Wu 2019"
    ),
    "arcface": Loss(arcface, "classes", "softmax with a wider angle to the own class", "Deng et al. 2019"),
    "cosface": Loss(cosface, "classes", "softmax with a smaller cosine to the own class", "Wang et al. 2018"),
    "proxy_anchor": Loss(
        proxy_anchor, "classes", "each class's proxy draws its own and pushes all others", "Kim et al. 2020"
    ),
}


def find_loss(name: str) -> Loss:
    """Return the entry of LOSSES; raises UsageError for an unknown name."""
    check_known("loss", name, LOSSES, error=UsageError)
    return LOSSES[name]
