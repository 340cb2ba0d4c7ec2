"""Pseudo-labels: the clusters of the current vectors take the place of classes (deep clustering)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from kindred.arrays import Vectors, check_whole
from kindred.embedding.assignment import nearest_words
from kindred.embedding.codebook import k_means
from kindred.errors import TrainingError, UsageError
from kindred.training.mining.plan import Numbers, Plan, Planner, checked_vectors, epoch_rng

__all__ = ["PseudoLabels"]

LARGEST_SEED = 2**31 - 1
"""FAISS takes a C int."""


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Batches from the clusters that k-means finds among the vectors, again in each epoch.

    clusters: K; a label is the index of a cluster, and changes from epoch to epoch, so that the class weights of a loss
    on classes must be reset. planner: makes the planner from the pseudo-labels (N,), such as
    `partial(ClassBalanced, classes_per_batch=16, images_per_class=4)` for losses on pairs and
    `partial(Shuffled, batch=64)` for losses on classes. smallest: clusters of fewer images are left out. Raises
    UsageError for values out of range, TrainingError for fewer than `smallest` images per cluster. Source: Caron et
    al. 2018.

    Many small clusters are purer than few large ones, and two of the same class seldom meet in a batch. On the 2,640
    training photographs of 81 classes of Grocery Store, described by `kin`, 43 % of the pairs in a cluster are of one
    class for 100 clusters, 61 % for 300 and 76 % for 600.
    """

    clusters: int
    planner: Callable[[Numbers], Planner]
    smallest: int = 2
    needs_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(clusters=self.clusters, smallest=self.smallest)
        if self.clusters < 2:
            raise UsageError("clusters: got 1; expected at least 2, or there are no negatives")

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch from the unit vectors (N, D) of all images."""
        all_rows, present = checked_vectors(vectors)
        rows = all_rows[present]
        if len(rows) < self.clusters * self.smallest:
            raise TrainingError(
                f"clusters: got {self.clusters} with at least {self.smallest} images each for {len(rows)} images; "
                f"lower it to {len(rows) // self.smallest} at most"
            )
        drawn = int(epoch_rng(seed, epoch).integers(LARGEST_SEED))
        words = nearest_words(rows, k_means(rows, words=self.clusters, seed=drawn))
        sizes = np.bincount(words, minlength=self.clusters)
        labels = np.full(len(all_rows), -1)
        labels[present] = np.where(sizes[words] < self.smallest, -1, words)
        plan = self.planner(labels)(epoch=epoch, seed=seed)
        facts = {
            "clusters": float((sizes >= self.smallest).sum()),
            "largest_cluster": float(sizes.max()),
            "left_out": float((labels < 0).sum()),
        }
        return replace(plan, facts={**plan.facts, **facts})
