"""Hard negatives from a pool: for each query the most similar images of other classes, one of each at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kindred.arrays import Vectors, check_whole, top_k
from kindred.errors import TrainingError
from kindred.training.mining.plan import Numbers, Plan, as_labels, checked_vectors, epoch_rng
from kindred.training.mining.tuples import mean_cosine, plan_of_tuples

__all__ = ["HardNegatives"]

BLOCK = 256
"""Queries compared with the pool at a time: 20 MB of scores for a pool of 20,000."""


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Tuples of a query, a positive of its class and the hardest negatives of a pool, mined again in each epoch.

    labels: (N,), the class or the cluster (as of 3-D models) of each image, below 0 where unknown; such images are left
    out, since they may be positives. tuples: per batch, each of 2 + `negatives` images. queries: per epoch, drawn among
    the images whose class has another one; all where there are fewer. pool: how many images, drawn as well, the
    negatives are searched in. The positive is drawn; the negatives are the most similar by the current vectors, at most
    one of each class, since most of them would otherwise be of one class. labels_known: the labels also relate images
    of different tuples; otherwise only a query and its positive are related to their negatives. Raises UsageError for
    values out of range, TrainingError for too few classes.

    Source: Radenović, Tolias and Chum 2018, who take 2,000 queries, a pool of 20,000 and 5 negatives.
    """

    labels: Numbers
    tuples: int
    queries: int = 2000
    pool: int = 20_000
    negatives: int = 5
    labels_known: bool = False
    needs_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(tuples=self.tuples, queries=self.queries, pool=self.pool, negatives=self.negatives)
        object.__setattr__(self, "labels", as_labels(self.labels))
        _check_classes(_Classes.from_labels(self.labels), self.negatives)

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch from the unit vectors (N, D) of all images."""
        rows, present = checked_vectors(vectors, len(self.labels))
        rng = epoch_rng(seed, epoch)
        labels = np.full_like(self.labels, -1)
        labels[present] = self.labels[present]
        classes = _Classes.from_labels(labels)
        _check_classes(classes, self.negatives)
        queries, positives = classes.draw_pairs(rng, self.queries)
        pool = rng.permutation(classes.images)[: self.pool]
        negatives = self._hardest(rows, queries, pool)
        facts = {
            "queries": float(len(queries)),
            "pool": float(len(pool)),
            "left_out": float(len(self.labels) - len(classes.images)),
            "positive_cosine": mean_cosine(rows, queries, positives[:, None]),
            "negative_cosine": mean_cosine(rows, queries, negatives),
        }
        return plan_of_tuples(
            np.column_stack((queries, positives, negatives)),
            per_batch=self.tuples,
            positive_has_negatives=True,
            labels=self.labels if self.labels_known else None,
            facts=facts,
        )

    def _hardest(self, rows: Vectors, queries: Numbers, pool: Numbers) -> Numbers:
        """Return the most similar images of the pool, one of each class but the query's: (Q, negatives)."""
        pool = pool[np.argsort(self.labels[pool], kind="stable")]
        starts, sizes = _runs(self.labels[pool])
        classes = self.labels[pool[starts]]
        if len(classes) <= self.negatives:
            raise TrainingError(
                f"pool: the {len(pool)} images drawn are of {len(classes)} classes; expected more than the "
                f"{self.negatives} negatives; raise pool or lower negatives"
            )
        known, found = rows[pool], np.empty((len(queries), self.negatives), np.int64)
        for first in range(0, len(queries), BLOCK):
            some = queries[first : first + BLOCK]
            scores = rows[some] @ known.T
            best = np.maximum.reduceat(scores, starts, axis=1)
            best[classes[None, :] == self.labels[some][:, None]] = -np.inf
            hardest, _ = top_k(best, self.negatives)
            for row, chosen in enumerate(hardest):
                ends = zip(starts[chosen], starts[chosen] + sizes[chosen], strict=True)
                found[first + row] = [pool[start + scores[row, start:end].argmax()] for start, end in ends]
        return found


@dataclass(frozen=True, eq=False)
class _Classes:
    """The indices (n,) of images with a class, sorted by class; start and size of each class, both (C,)."""

    images: Numbers
    starts: Numbers
    sizes: Numbers

    @classmethod
    def from_labels(cls, labels: Numbers) -> _Classes:
        known = np.flatnonzero(labels >= 0)
        images = known[np.argsort(labels[known], kind="stable")]
        return cls(images, *_runs(labels[images]))

    def draw_pairs(self, rng: np.random.Generator, count: int) -> tuple[Numbers, Numbers]:
        """Return at most `count` images whose class has another one, and for each a random other image of its class."""
        places = rng.permutation(np.flatnonzero(np.repeat(self.sizes, self.sizes) > 1))[:count]
        of_class = np.searchsorted(self.starts, places, side="right") - 1
        start, size = self.starts[of_class], self.sizes[of_class]
        others = start + (places - start + rng.integers(1, size)) % size
        return self.images[places], self.images[others]


def _check_classes(classes: _Classes, negatives: int) -> None:
    count = len(classes.sizes)
    if count <= negatives:
        raise TrainingError(
            f"negatives: got {negatives}, each of another class than the query's, for {count} classes; "
            + (f"lower it to {count - 1} at most" if count > 1 else "expected at least two classes")
        )
    if classes.sizes.max() < 2:
        raise TrainingError(f"labels: all {len(classes.images)} classes have a single image; add images to some")


def _runs(labels: Numbers) -> tuple[Numbers, Numbers]:
    """Return the start and the length of each run of equal labels: (C,) and (C,)."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    return starts, np.diff(starts, append=len(labels))
