"""Learned matching: a network that pairs the keypoints of two images, such as LightGlue.

It looks at the keypoints and descriptors of both images at once (Lindenberger, Sarlin and Pollefeys 2023), in place of
mutual nearest neighbours with a ratio test. The card of a model with a local head names it, as a matcher belongs to the
descriptors that it was trained on. The graph is one of the public exports of LightGlue without the network that finds
keypoints. In one form its inputs are `kpts0` (1, N, 2), `kpts1` (1, M, 2), `desc0` (1, N, D) and `desc1` (1, M, D). Its
outputs are `matches0` (K, 2), the pairs, and `mscores0` (K,), their scores; or `matches0` (1, N), the keypoint of the
second image that is paired with each of the first, −1 for none, and `mscores0` (1, N). In the other form, with as many
keypoints of both images, inputs are `keypoints` (2, N, 2) and `descriptors` (2, N, D), outputs `matches` (K, 3), the
number of the pair of images and a keypoint of each, and `mscores` (K,). Positions are relative to the centre of the
image, in halves of its longer side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock
from kindred.arrays import Vectors, l2_normalise
from kindred.backbones.card import Card, check_graph
from kindred.backbones.further import FurtherGraph
from kindred.backbones.matcher_form import TOGETHER, check_matcher, form_of
from kindred.errors import ModelError
from kindred.features.local import LocalFeatures

__all__ = ["LearnedMatcher", "Matcher", "Pairs"]

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Points of the query (n,) and, each paired with one, points of the candidate (n,)."""
Matcher: TypeAlias = Callable[[LocalFeatures, LocalFeatures], Pairs]
"""Pairs the points of a query, from one pass over it, with those of a candidate."""


MOST = 2048
"""The most keypoints of an image that are paired, the strongest: memory grows with their product."""


class LearnedMatcher:
    """Pairs keypoints with the matcher that a card names, on the CPU. Thread-safe.

    card, path: the card of a model with a local head, and the model's file, beside which the matcher is. threads: None
    for one per core. The graph is read at its first use.
    """

    def __init__(self, card: Card, path: Path, *, threads: int | None = None) -> None:
        head = card.local
        if head is None or not head.matcher:
            raise ModelError(f"model {card.name} has no matcher: its card has no key matcher in a table [local]")
        self._path, self._head, self._threads = path.with_name(head.matcher), head, threads
        self._dimension = card.local_dimension
        self._graph: FurtherGraph | None = None
        self._lock = ForkSafeLock()

    def check(self) -> None:
        """Raise ModelError unless the file is there and is the one that the card describes; it is not loaded."""
        check_graph(self._path, self._head.matcher_digest)

    def load(self) -> FurtherGraph:
        """Return the graph, loaded at the first call; raises ModelError if it is not a matcher of these features."""
        with self._lock:
            if self._graph is None:
                graph = FurtherGraph(self._path, self._head.matcher_digest, threads=self._threads)
                check_matcher(graph, self._path, self._dimension)
                self._graph = graph
            return self._graph

    def __call__(self, query: LocalFeatures, candidate: LocalFeatures) -> Pairs:
        """Pair the points of one pass over a query with those of a candidate, none twice, in the order of the former.

        If the graph takes as many keypoints of both images, the strongest of the one with more are used. Raises
        ModelError if the graph cannot take them or returns anything but pairs of them with finite scores.
        """
        count, other = min(len(query), MOST), min(len(candidate), MOST)
        if not count or not other:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        graph = self.load()
        form = form_of(graph)
        if form is TOGETHER:
            count = other = min(count, other)
        sides = ((query, count), (candidate, other))
        points = [_positions(features)[:number] for features, number in sides]
        descriptors = [self._unit(features, number) for features, number in sides]
        if form is TOGETHER:
            values = [np.stack(points), np.stack(descriptors)]
        else:
            values = [each[None] for each in (*points, *descriptors)]
        given = dict(zip(form.inputs, values, strict=True))
        found = graph.run({name: given[name] for name in graph.inputs})
        matches, scores = found[graph.place(form.matches)], found[graph.place(form.scores)]
        return self._checked(*self._pairs(matches, scores, count, together=form is TOGETHER), count, other)

    def _unit(self, features: LocalFeatures, count: int) -> Vectors:
        """Return the first descriptors as unit rows, those stored in few bits as what the bits stand for."""
        width = features.descriptors.shape[1]
        if width != self._dimension:
            raise ModelError(
                f"{self._path}: got descriptors of {width} components; its card declares {self._dimension}: "
                "index the images again"
            )
        return l2_normalise(features.descriptors[:count].astype(np.float32))

    def _pairs(
        self, matches: NDArray[Any], scores: NDArray[Any], count: int, *, together: bool
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return pairs (K, 2) and scores (K,) from what the graph returned in any of its forms."""
        given = f"matches {matches.shape} of {matches.dtype} and scores {scores.shape} of {scores.dtype}"
        of_types = matches.dtype.kind in "iu" and scores.dtype.kind == "f"
        if of_types and not together and matches.shape == scores.shape == (1, count):
            ours = np.flatnonzero(matches[0] != -1)
            return np.stack((ours, matches[0, ours].astype(np.int64)), axis=1), scores[0, ours]
        width = 3 if together else 2
        if not of_types or matches.ndim != 2 or matches.shape[1] != width or scores.shape != (len(matches),):
            forms = "(K, 3) and (K,)" if together else f"(K, 2) and (K,), or both (1, {count})"
            raise ModelError(f"{self._path}: the matcher returned {given}; expected whole numbers and scores {forms}")
        if together and matches[:, 0].any():
            raise ModelError(f"{self._path}: the matcher returned pairs of other images than the first two")
        return matches[:, -2:].astype(np.int64), scores

    def _checked(self, pairs: NDArray[np.int64], scores: NDArray[Any], count: int, other: int) -> Pairs:
        """Return the pairs of which the score is high enough; raises ModelError if one is not a pair of points."""
        wrong = ""
        if len(pairs) > min(count, other):
            wrong = f"{len(pairs):,} pairs"
        elif not np.isfinite(scores).all():
            wrong = "scores that are not finite"
        elif len(pairs) and not ((pairs >= 0) & (pairs < (count, other))).all():
            wrong = f"keypoints {pairs.min()} to {pairs.max()}"
        elif any(len(np.unique(side)) < len(pairs) for side in pairs.T):
            wrong = "pairs that share a keypoint"
        if wrong:
            raise ModelError(
                f"{self._path}: the matcher returned {wrong}; expected {count} and {other} keypoints, none twice"
            )
        ours, theirs = pairs[scores >= self._head.matcher_threshold].T
        order = np.argsort(ours)
        return ours[order], theirs[order]


def _positions(features: LocalFeatures) -> NDArray[np.float32]:
    """Return positions from the centre of the image, in halves of its longer side.

    With descriptors of a turned image go the positions in that image.
    """
    x0, y0, x1, y1 = features.extent
    centre = np.array(((x0 + x1) / 2, (y0 + y1) / 2), np.float32)
    positions = (features.points - centre) / np.float32(max(x1 - x0, y1 - y0, 1.0) / 2)
    for _ in range(features.turns[0] if features.turns else 0):  # one turn counter-clockwise: x y go to y, −x
        positions = np.stack((positions[:, 1], -positions[:, 0]), axis=1)
    return np.ascontiguousarray(positions, np.float32)
