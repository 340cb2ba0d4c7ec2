"""Mining on manifolds: pairs for which the distance on the manifold and the Euclidean distance disagree.

Positives are close on the manifold but not by Euclidean distance; negatives the other way round. The manifold is the
graph of mutual nearest neighbours, its distance that of the diffusion used in re-ranking. It needs no labels (Iscen,
Tolias, Avrithis and Chum 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole
from kindred.errors import TrainingError, UsageError
from kindred.rerank import ArrayGallery, NeighbourGraph, OfflineDiffusion, OfflineOptions
from kindred.rerank.diffusion import check_alpha, default_neighbours
from kindred.rerank.neighbours import find_neighbours
from kindred.training.mining.plan import Numbers, Plan, checked_vectors, epoch_rng
from kindred.training.mining.tuples import mean_cosine, plan_of_tuples

__all__ = ["Disagreement", "ManifoldMining", "find_disagreement"]


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where the manifold and the Euclidean distance disagree about N images.

    positives: indices (N, near) of the images among the `near` nearest on the manifold but not by distance, nearest on
    the manifold first. negatives: (N, wide), the other way round among the `wide` nearest, nearest by distance first.
    −1 if there are fewer. degrees: (N,) of the graph.
    """

    positives: Numbers
    negatives: Numbers
    degrees: NDArray[np.float64]


def find_disagreement(
    vectors: Vectors, *, near: int, wide: int, graph: int, gamma: float = 3.0, alpha: float = 0.99, truncate: int = 1000
) -> Disagreement:
    """Compare the nearest neighbours of each of N unit vectors (N, D) by cosine and by diffusion.

    graph: the k of `NeighbourGraph`; gamma, alpha, truncate: as in `offline_diffusion`. No N × N matrix is built.
    """
    gallery, most = ArrayGallery(vectors, similarity="dot"), max(near, wide)
    joined = NeighbourGraph.build(gallery, k=graph, gamma=gamma)
    options = OfflineOptions(alpha, truncate=max(truncate, most + 1), keep=most + 1)
    on_manifold = _nearest_on_manifold(OfflineDiffusion.fit(gallery, joined, options=options), most)
    by_distance = find_neighbours(gallery, most)[1].astype(np.int64)
    return Disagreement(
        _without(on_manifold[:, :near], by_distance[:, :near]),
        _without(by_distance[:, :wide], on_manifold[:, :wide]),
        joined.degrees(),
    )


@dataclass(frozen=True, eq=False)
class ManifoldMining:
    """Tuples of an anchor, a hard positive and hard negatives, mined on the manifold without labels.

    tuples: per batch, each of 2 + `negatives` images. anchors: per epoch, drawn among the images that have a positive
    and a negative, with probabilities proportional to their degree in the graph (the stationary distribution of a
    random walk). near: a positive is among this many nearest on the manifold, but not by distance; wide: a negative is
    among this many nearest by distance, but not on the manifold; 0 for 50, fewer below 1,000 images. graph: the k of
    the neighbour graph. gamma, alpha, truncate: as in `offline_diffusion`. Positive and negatives are drawn from those
    of the anchor; where it has fewer negatives some are repeated. Only the anchor's pairs within its tuple have a
    known relation. Raises UsageError for values out of range, TrainingError if the two distances never disagree.

    Source: Iscen et al. 2018, who use one number for `near` and `wide`, and the modes of the stationary distribution
    as anchors. Here there are two, since distant positives and close negatives are more often wrong. On the 2,640
    training photographs of Grocery Store, described by `kin`, 71 % of the positives and 8 % of the negatives are of the
    anchor's class; with `near` 50, 22 % of the positives; with `graph` 50 as well, 11 %. The neighbours of images with
    a high degree are more often right than those of others (92 % and 60 % of the five nearest).
    """

    tuples: int
    anchors: int = 2000
    negatives: int = 5
    near: int = 5
    wide: int = 0
    graph: int = 10
    gamma: float = 3.0
    alpha: float = 0.99
    truncate: int = 1000
    needs_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(tuples=self.tuples, anchors=self.anchors, negatives=self.negatives)
        check_whole(near=self.near, graph=self.graph, truncate=self.truncate)
        check_positive(gamma=self.gamma)
        check_alpha(self.alpha)
        if self.wide < 0:
            raise UsageError(f"wide: got {self.wide}; expected a number of neighbours, or 0 for the default")

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch from the unit vectors (N, D) of all images."""
        all_rows, present = checked_vectors(vectors)
        rows = all_rows[present]
        wide = self.wide or default_neighbours(len(rows), k=0, kq=1)[0]
        if max(self.near, wide) >= len(rows):
            raise TrainingError(
                f"got {len(rows)} images; mining on manifolds needs {max(self.near, wide)} neighbours of each: "
                "give more images, or lower near and wide"
            )
        found = find_disagreement(
            rows,
            near=self.near,
            wide=wide,
            graph=self.graph,
            gamma=self.gamma,
            alpha=self.alpha,
            truncate=self.truncate,
        )
        usable = np.flatnonzero((found.positives[:, 0] >= 0) & (found.negatives[:, 0] >= 0))
        if not usable.size:
            raise TrainingError(
                f"no image of {len(rows)} has other neighbours on the manifold than by distance; "
                "give more images, or another number for near or wide"
            )
        rng = epoch_rng(seed, epoch)
        shares = found.degrees[usable] / found.degrees[usable].sum()
        anchors = rng.choice(usable, min(self.anchors, len(usable)), replace=False, p=shares)
        positives = _draw(rng, found.positives[anchors], 1)
        negatives = _draw(rng, found.negatives[anchors], self.negatives)
        facts = {
            "anchors": float(len(anchors)),
            "usable_anchors": float(len(usable)),
            "left_out": float(len(all_rows) - len(usable)),
            "positive_cosine": mean_cosine(rows, anchors, positives),
            "negative_cosine": mean_cosine(rows, anchors, negatives),
        }
        tuples = present[np.column_stack((anchors, positives, negatives))]
        return plan_of_tuples(tuples, per_batch=self.tuples, positive_has_negatives=False, labels=None, facts=facts)


def _nearest_on_manifold(spread: OfflineDiffusion, k: int) -> Numbers:
    """Return for each image the `k` others with the largest diffusion scores: (N, k), −1 if there are fewer."""
    rows = np.repeat(np.arange(len(spread)), np.diff(spread.indptr))
    columns = spread.indices.astype(np.int64)
    order = np.lexsort((columns, -spread.weights, rows))
    order = order[rows[order] != columns[order]]
    return _in_rows(rows[order], columns[order], (len(spread), k))


def _without(some: Numbers, others: Numbers) -> Numbers:
    """Return each row (N, k) of indices without those in the same row of `others` (N, m), padded with −1."""
    count = len(some)
    first = np.arange(count)[:, None] * count
    kept = (some >= 0) & ~np.isin(first + some, (first + others)[others >= 0])
    return _in_rows(np.nonzero(kept)[0], some[kept], some.shape)


def _in_rows(rows: Numbers, values: Numbers, shape: tuple[int, ...]) -> Numbers:
    """Return a matrix with the `values` in their rows (ascending), in order, padded with −1 or cut off."""
    counts = np.bincount(rows, minlength=shape[0])
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    fits = columns < shape[1]
    matrix = np.full(shape, -1, np.int64)
    matrix[rows[fits], columns[fits]] = values[fits]
    return matrix


def _draw(rng: np.random.Generator, places: Numbers, count: int) -> Numbers:
    """Return `count` indices drawn from each row (A, k), in which −1 is none: (A, count), repeated where too few."""
    marks = np.where(places >= 0, rng.random(places.shape), np.inf)
    shuffled = np.take_along_axis(places, np.argsort(marks, axis=1), axis=1)
    known = (places >= 0).sum(axis=1, keepdims=True)
    return np.take_along_axis(shuffled, np.arange(count)[None, :] % known, axis=1)
