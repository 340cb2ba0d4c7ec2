"""The table of fine-tuning methods: which images meet in a batch, and which loss compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.training.losses import LOSSES
from kindred.training.mining import (
    ClassBalanced,
    HardNegatives,
    ListedPairs,
    ManifoldMining,
    Planner,
    PseudoLabels,
    Shuffled,
)

__all__ = ["METHODS", "Batching", "Method", "find_method", "resolve_loss"]

Numbers = NDArray[np.int64]

# On Grocery Store, 2,640 images of 81 classes described by `kin`: of the pairs within a cluster 43 % were of one class
# with 100 clusters, 61 % with 300, 76 % with 600.
IMAGES_PER_CLUSTER = 5

# Tuples are mined with the network at the beginning of an epoch: few tuples, mined often, are worth more. On unseen
# classes of Grocery Store, from MobileNetV2, 5 epochs with all images as queries gave mAP 0.472 (manifold: 0.437), 5
# with as many tuples as show each image once 0.552 (0.462), in a fifth of the time.
MAX_TUPLES = 2000
"""Tuples of an epoch at most, as in Radenović, Tolias and Chum 2018."""


@dataclass(frozen=True)
class Batching:
    """How batches are composed.

    batch: images of a step. images_per_class: of each class (or cluster), for methods on pairs. mining: "batch" draws
    classes at random, "pool" searches all images for the hardest negatives before each epoch. negatives: in each mined
    tuple. clusters: of the pseudo-labels, 0 for one to every five images. pairs: listed positive and negative pairs,
    (n, 2) and (m, 2), as `ListedPairs` takes them.
    """

    batch: int = 64
    images_per_class: int = 4
    mining: Literal["batch", "pool"] = "batch"
    negatives: int = 5
    clusters: int = 0
    pairs: tuple[Numbers, Numbers] | None = None

    @property
    def classes(self) -> int:
        """How many classes a batch of several images of each class has."""
        return max(2, self.batch // self.images_per_class)

    @property
    def tuples(self) -> int:
        """How many tuples of a query, a positive and negatives a batch has."""
        return max(1, self.batch // (2 + self.negatives))

    def tuples_per_epoch(self, images: int) -> int:
        """Return how many tuples show about as many images as there are, 2,000 at most: all epochs cost the same."""
        return min(MAX_TUPLES, max(1, images // (2 + self.negatives)))


@dataclass(frozen=True)
class Method:
    """One entry of METHODS.

    planner: labels (N,), −1 if unknown, and how batches are composed → the planner. kind: of losses that it takes.
    loss: of LOSSES, the default. labelled: whether it reads labels. summary: what it does. source: who described it.
    """

    planner: Callable[[Numbers, Batching], Planner]
    kind: Literal["classes", "pairs"]
    loss: str
    labelled: bool
    summary: str
    source: str


def _shuffled(labels: Numbers, batching: Batching) -> Planner:
    return Shuffled(labels, min(batching.batch, int((labels >= 0).sum())))


def _matching(labels: Numbers, batching: Batching) -> Planner:
    """Return a planner of batches with positive pairs: listed ones, mined tuples, or several images of each class."""
    if batching.pairs is not None:
        same, different = batching.pairs
        size = min(batching.batch // 2, len(same) + len(different)) * 2
        return ListedPairs(same, different, len(labels), size, components=not len(different))
    if batching.mining == "pool":
        classes = len(np.unique(labels[labels >= 0]))
        mined = replace(batching, negatives=min(batching.negatives, classes - 1))
        queries = mined.tuples_per_epoch(len(labels))
        return HardNegatives(labels, mined.tuples, queries=queries, negatives=mined.negatives, labels_known=True)
    return _by_class(labels, batching)


def _by_class(labels: Numbers, batching: Batching) -> Planner:
    usable = int((np.bincount(labels[labels >= 0]) > 1).sum())
    return ClassBalanced(labels, max(2, min(batching.classes, usable)), batching.images_per_class)


def _manifold(labels: Numbers, batching: Batching) -> Planner:
    anchors = batching.tuples_per_epoch(len(labels))
    return ManifoldMining(batching.tuples, anchors=anchors, negatives=batching.negatives)


def _clusters(labels: Numbers, batching: Batching) -> Planner:
    count = batching.clusters or max(2, len(labels) // IMAGES_PER_CLUSTER)
    return PseudoLabels(count, partial(_by_class, batching=batching))


METHODS: dict[str, Method] = {
    "classification": Method(
        _shuffled,
        "classes",
        "normalised_softmax",
        True,
        "a classifier of the classes, of which the embedding is used",
        "Babenko et al. 2014",
    ),
    "siamese": Method(
        _matching,
        "pairs",
        "contrastive",
        True,
        "pairs: positives close, negatives at least a margin apart",
        "Radenović et al. 2018",
    ),
    "triplet": Method(
        _matching,
        "pairs",
        "triplet",
        True,
        "triplets: positives closer than negatives by a margin",
        "Gordo et al. 2016",
    ),
    "multi_similarity": Method(
        _matching,
        "pairs",
        "multi_similarity",
        True,
        "all pairs of a batch, weighted by how hard they are",
        "Wang et al. 2019",
    ),
    "smooth_ap": Method(
        _matching,
        "pairs",
        "smooth_ap",
        True,
        "the average precision of a batch, smoothed",
        "Brown et al. 2020",
    ),
    "manifold": Method(
        _manifold,
        "pairs",
        "contrastive",
        False,
        "no labels: pairs for which manifold and Euclidean distance disagree",
        "Iscen et al. 2018",
    ),
    # Some clusters mix two classes, and some classes are split: a loss that selects the hardest pairs selects those
    # errors. On unseen classes of Grocery Store, from MobileNetV2, multi_similarity gave mAP 0.404, contrastive 0.473.
    "clusters": Method(
        _clusters,
        "pairs",
        "contrastive",
        False,
        "no labels: clusters of the vectors serve as classes",
        "Caron et al. 2018",
    ),
}


def find_method(name: str) -> Method:
    """Return the entry of METHODS; raises UsageError for an unknown name."""
    check_known("method", name, METHODS, error=UsageError)
    return METHODS[name]


def resolve_loss(method: Method, name: str | None) -> str:
    """Return the name of the loss of a method, None for its default; raises UsageError for one that does not fit it."""
    if name is None:
        return method.loss
    fitting = [each for each, loss in LOSSES.items() if loss.kind == method.kind]
    check_known("loss", name, LOSSES, error=UsageError)
    if name not in fitting:
        raise UsageError(f"loss is {name!r}; this method takes one of {', '.join(fitting)}")
    return name
