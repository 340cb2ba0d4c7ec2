"""Mining on manifolds: what is near along the manifold of the images and what is near at once, where they disagree.

Positives are images to which many short steps lead, though they look different; negatives look alike, and no short
steps lead there. The manifold is the graph of mutual neighbours, walked by diffusion as re-ranking does. No label is
read (Iscen, Tolias, Avrithis and Chum 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole
from kindred.errors import TrainingError, UsageError
from kindred.rerank import ArrayGallery, NeighbourGraph, OfflineDiffusion, OfflineOptions
from kindred.rerank.diffusion import check_alpha, numbers_for
from kindred.rerank.neighbours import find_neighbours
from kindred.training.mining.plan import Numbers, Plan, checked_vectors, epoch_rng
from kindred.training.mining.tuples import mean_cosine, plan_of_tuples

__all__ = ["Disagreement", "ManifoldMining", "find_disagreement"]


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where the manifold and the Euclidean distance disagree about N images.

    positives: places (N, near) of those among the `near` nearest of an image on the manifold but not by distance,
    nearest on the manifold first. negatives: (N, wide), the other way round among the `wide` nearest, nearest by
    distance first. −1 where there are no more. degrees: (N,) of the graph.
    """

    positives: Numbers
    negatives: Numbers
    degrees: NDArray[np.float64]


def find_disagreement(
    vectors: Vectors, *, near: int, wide: int, graph: int, gamma: float = 3.0, alpha: float = 0.99, truncate: int = 1000
) -> Disagreement:
    """Compare the nearest of each of N unit vectors (N, D) by cosine and by diffusion.

    graph: neighbours from which the edges are made, as `NeighbourGraph` takes its k; gamma, alpha and truncate are
    those of `offline_diffusion`. No N × N matrix is made.
    """
    gallery, most = ArrayGallery(vectors, similarity="dot"), max(near, wide)
    joined = NeighbourGraph.build(gallery, k=graph, gamma=gamma)
    options = OfflineOptions(alpha, truncate=max(truncate, most + 1), keep=most + 1)
    on_manifold = _heads(OfflineDiffusion.fit(gallery, joined, options=options), most)
    by_distance = find_neighbours(gallery, most)[1].astype(np.int64)
    return Disagreement(
        _without(on_manifold[:, :near], by_distance[:, :near]),
        _without(by_distance[:, :wide], on_manifold[:, :wide]),
        joined.degrees(),
    )


@dataclass(frozen=True, eq=False)
class ManifoldMining:
    """Tuples of an anchor, a hard positive and hard negatives on the manifold, without any label.

    tuples: of a batch, each of 2 + `negatives` images. anchors: of an epoch, drawn among the images that have both a
    positive and a negative, by the degree in the graph: how often a random walk comes by (its stationary
    distribution). near: a positive is among so many nearest on the manifold, and not by distance; wide: a negative is
    among so many nearest by distance, and not on the manifold; 0 is chosen by the number of images: 50, fewer below
    1000. graph: neighbours from which the edges are made. Positive and negatives are drawn from those of the anchor;
    negatives come more than once where there are fewer. Something is known only of the anchor's own pairs in its
    tuple. Raises UsageError for what is out of range, TrainingError where the two never disagree.

    Source: Iscen et al. 2018, who have one number for `near` and `wide`, and the peaks of the stationary distribution
    for anchors. Two, because the farther a positive and the nearer a negative, the more often it is wrong. On the 2,640
    training photographs of grocery, by kin's vectors, 71 % of the positives and 8 % of the negatives show the anchor's
    thing; with 50 for `near` 22 % of the positives, with 50 for `graph` as well 11 %. Among the neighbours of images
    with a high degree more are right than among those of others (92 % and 60 % of the five nearest).
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
            raise UsageError(f"wide: got {self.wide}; expected a number of neighbours, or 0 for one that suits")

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch, by the unit vectors (N, D) of all images."""
        all_rows, present = checked_vectors(vectors)
        rows = all_rows[present]
        wide = self.wide or numbers_for(len(rows), k=0, kq=1)[0]
        if max(self.near, wide) >= len(rows):
            raise TrainingError(
                f"got {len(rows)} images; mining on manifolds looks at {max(self.near, wide)} neighbours of each: "
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
        able = np.flatnonzero((found.positives[:, 0] >= 0) & (found.negatives[:, 0] >= 0))
        if not able.size:
            raise TrainingError(
                f"no image of {len(rows)} has other neighbours on the manifold than by distance; "
                "give more images, or another number for near or wide"
            )
        rng = epoch_rng(seed, epoch)
        shares = found.degrees[able] / found.degrees[able].sum()
        anchors = rng.choice(able, min(self.anchors, len(able)), replace=False, p=shares)
        positives = _draw(rng, found.positives[anchors], 1)
        negatives = _draw(rng, found.negatives[anchors], self.negatives)
        facts = {
            "anchors": float(len(anchors)),
            "able": float(len(able)),
            "left_out": float(len(all_rows) - len(able)),
            "positive_cosine": mean_cosine(rows, anchors, positives),
            "negative_cosine": mean_cosine(rows, anchors, negatives),
        }
        tuples = present[np.column_stack((anchors, positives, negatives))]
        return plan_of_tuples(tuples, per_batch=self.tuples, positive_has_negatives=False, labels=None, facts=facts)


def _heads(spread: OfflineDiffusion, k: int) -> Numbers:
    """Return for each image the `k` others to which it spreads most: places (N, k), −1 where there are fewer."""
    rows = np.repeat(np.arange(len(spread)), np.diff(spread.indptr))
    columns = spread.indices.astype(np.int64)
    order = np.lexsort((columns, -spread.weights, rows))
    order = order[rows[order] != columns[order]]
    return _in_rows(rows[order], columns[order], (len(spread), k))


def _without(some: Numbers, others: Numbers) -> Numbers:
    """Return each row (N, k) of places without those in the same row of `others` (N, m), moved left: −1 behind."""
    count = len(some)
    first = np.arange(count)[:, None] * count
    kept = (some >= 0) & ~np.isin(first + some, (first + others)[others >= 0])
    return _in_rows(np.nonzero(kept)[0], some[kept], some.shape)


def _in_rows(rows: Numbers, values: Numbers, shape: tuple[int, ...]) -> Numbers:
    """Return a matrix with the `values` in their rows, which ascend, in order; −1 behind, too many are cut off."""
    counts = np.bincount(rows, minlength=shape[0])
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    fits = columns < shape[1]
    matrix = np.full(shape, -1, np.int64)
    matrix[rows[fits], columns[fits]] = values[fits]
    return matrix


def _draw(rng: np.random.Generator, places: Numbers, count: int) -> Numbers:
    """Return `count` drawn from each row (A, k) of places, −1 being none: (A, count), again from the first if few."""
    marks = np.where(places >= 0, rng.random(places.shape), np.inf)
    shuffled = np.take_along_axis(places, np.argsort(marks, axis=1), axis=1)
    known = (places >= 0).sum(axis=1, keepdims=True)
    return np.take_along_axis(shuffled, np.arange(count)[None, :] % known, axis=1)
