"""The no-answer decision: whether a query whose object is not in the database is reported as such.

Every query is ranked twice, with its relevant images in the database and without them. Its first result then is
right, wrong or, without them, of necessity wrong; below `LINE` it is reported that nothing probably shows the same
thing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import LINE, Reliability, reliability
from kindred.ranking import Ranking

__all__ = ["DecisionLog", "without"]

Rerank = Callable[[Ranking, Sequence[NDArray[np.int64]] | None], Ranking]
"""Re-ranks a ranking, and adds no images that have the ids given for each query; None: all may be added."""


@dataclass(eq=False)
class DecisionLog:
    """The probability of the first result of each query, with and without the images that are relevant to it.

    relevant, junk: for each query the ids of the images that are, and of those that are neither right nor wrong.
    seconds: what it took to search without them, which no search of a user does.
    """

    relevant: Sequence[NDArray[np.int64]]
    junk: Sequence[NDArray[np.int64]]
    present: list[tuple[float, bool]] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, ranking: Ranking, rerank: Rerank, queries: slice) -> Ranking:
        """Re-rank some queries, with and without their relevant images; return the former."""
        numbers = range(queries.start, queries.stop)
        better = rerank(ranking, None)
        for row, number in enumerate(numbers):
            ids = better.ids[row][~np.isin(better.ids[row], self.junk[number])]
            if ids.size and ids[0] >= 0 and self.relevant[number].size:
                place = int(np.flatnonzero(better.ids[row] == ids[0])[0])
                self.present.append((_probability(better, row, place), bool(np.isin(ids[0], self.relevant[number]))))
        removed = [np.concatenate((self.relevant[number], self.junk[number])) for number in numbers]
        began = time.perf_counter()
        alone = rerank(without(ranking, removed), removed)
        self.seconds += time.perf_counter() - began
        self.absent += [_probability(alone, row, 0) for row in range(len(alone))]
        return better

    def metrics(self) -> dict[str, float]:
        """Return the figures of the decision by name; none if there was nothing to decide.

        "no-answer recall": the fraction of queries without a relevant image that are reported as such. "no-answer
        precision": the fraction of queries without one, of those reported. "right results lost": the fraction of right
        first results that are below the line. "calibration error": the expected calibration error of the first result.
        """
        if not self.present or not self.absent:
            return {}
        likely, right = np.array(self.present).T
        absent = np.array(self.absent)
        reported, mistaken = int((absent < LINE).sum()), int((likely < LINE).sum())
        found = {
            "no-answer recall": reported / len(absent),
            "no-answer precision": reported / (reported + mistaken) if reported + mistaken else 0.0,
            "right results lost": float((likely[right > 0] < LINE).mean()) if right.any() else 0.0,
            "calibration error": self.reliability.error,
        }
        return {name: float(value) for name, value in found.items()}

    @property
    def reliability(self) -> Reliability:
        """How reliable the probability of the first result is."""
        probabilities = [each for each, _ in self.present] + self.absent
        return reliability(probabilities, [right for _, right in self.present] + [False] * len(self.absent))


def without(ranking: Ranking, removed: Sequence[NDArray[np.int64]]) -> Ranking:
    """Return a ranking without some ids of each query; later results move up.

    >>> without(Ranking(np.array([[4, 2, 9]]), np.array([[3.0, 2.0, 1.0]])), [np.array([2])]).ids.tolist()
    [[4, 9, -1]]
    """
    ids = np.full(ranking.ids.shape, -1, np.int64)
    scores = np.full(ids.shape, -np.inf, np.float32)
    for row, out in enumerate(removed):
        kept = (ranking.ids[row] >= 0) & ~np.isin(ranking.ids[row], out)
        count = int(kept.sum())
        ids[row, :count], scores[row, :count] = ranking.ids[row][kept], ranking.scores[row][kept]
    return Ranking(ids, scores)


def _probability(ranking: Ranking, row: int, place: int) -> float:
    """Return the probability of a result; 0 if there is none."""
    assert ranking.probabilities is not None
    if not ranking.ids.shape[1] or ranking.ids[row, place] < 0:
        return 0.0
    return float(ranking.probabilities[row, place])
