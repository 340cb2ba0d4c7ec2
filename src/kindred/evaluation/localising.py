"""Whether a search also finds where: the LocScore of sets whose ground truth has boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.metrics import intersection_over_union, loc_score, mean, relevant_ranks
from kindred.evaluation.searching import Order, Search

__all__ = ["LocalisationLog"]


class LocalisationLog:
    """Compares the box of what matched in each relevant image with its labelled boxes, query by query.

    numbers: (N,) the position in the ground truth of each image as it is searched; those of distractors are larger. A
    relevant image without a labelled box counts as not localised.
    """

    def __init__(self, truth: GroundTruth, search: Search, numbers: NDArray[np.int64]) -> None:
        self._truth, self._search, self._numbers = truth, search, numbers
        self._scores: list[float] = []

    def add(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Yield the orders of all queries unchanged, and measure each."""
        for number, order in enumerate(orders):
            judgement = self._truth.queries[number].judgement
            kept = order[~np.isin(self._numbers[order], judgement.junk)]
            ranks = relevant_ranks(self._numbers[kept], judgement.relevant)
            if len(judgement.relevant):
                boxes = self._search.boxes_of(number)[kept[ranks]]
                images = self._numbers[kept[ranks]].tolist()
                overlaps = [self._overlap(box, image) for box, image in zip(boxes, images, strict=True)]
                self._scores.append(loc_score(ranks, overlaps, len(judgement.relevant)))
            yield order

    def metrics(self) -> dict[str, float]:
        """Return the mean LocScore."""
        return {"LocScore": mean(self._scores)}

    def _overlap(self, box: NDArray[np.float32], image: int) -> float:
        labelled = self._truth.boxes.get(image, ())
        return intersection_over_union(box.tolist(), labelled) if labelled and np.isfinite(box).all() else 0.0
