"""Score: rankings in, the metrics of the protocol out. The rankings may come from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.evaluation.groundtruth import USUAL_RECALLS, GroundTruth, Protocol
from kindred.evaluation.metrics import (
    Ranks,
    average_precision,
    average_precision_at_r,
    cmc,
    mean,
    ns_score,
    oxford_average_precision,
    precision_at_k,
    r_precision,
    recall_at_k,
    relevant_ranks,
)

__all__ = [
    "METRICS",
    "Metric",
    "QueryRanks",
    "main_metric",
    "main_ranks",
    "match_curve",
    "ranks_of",
    "score",
    "summary",
]

Metric = Callable[[Ranks, int], float]
QueryRanks = dict[str, Ranks]
"""By setting, the ranks of what is relevant to one query; settings in which nothing is are left out."""


def _recall(k: int) -> Metric:
    return lambda ranks, _: recall_at_k(ranks, k)


def _precision(k: int) -> Metric:
    return lambda ranks, _: precision_at_k(ranks, k)


_RECALLS = {f"recall@{k}": _recall(k) for k in USUAL_RECALLS}
METRICS: dict[Protocol, dict[str, Metric]] = {
    "plain": {
        **_RECALLS,
        "mAP": average_precision,
        "MAP@R": average_precision_at_r,
        "R-precision": r_precision,
    },
    "oxford": {**_RECALLS, "mAP": oxford_average_precision},
    "revisited": {**_RECALLS, "mAP": oxford_average_precision, **{f"mP@{k}": _precision(k) for k in (1, 5, 10)}},
    "ukbench": {
        **_RECALLS,
        "mAP": average_precision,
        "N-S": lambda ranks, _: ns_score(ranks),
    },
}
"""What each protocol reports: name → (ranks, number of relevant images) → the value for one query.

recall@k comes for the depths that a ground truth asks for besides.
"""

MAIN_SETTING = "medium"
"""The setting of the revisited protocol whose figures are also given without a suffix."""

FOLDERS = 6
"""Up to so many folders of queries are also scored one by one; of classes there are hundreds."""


def score(truth: GroundTruth, orders: Iterable[NDArray[np.int64]]) -> dict[str, float]:
    """Return the metrics of rankings: for each query of `truth`, in order, database places best first (K,).

    A ranking may be cut off, or padded with −1: what is missing counts as not found. Raises UsageError where
    the number of rankings is not that of the queries, or where no query has relevant images.
    """
    return summary(truth, ranks_of(truth, orders))


def main_metric(truth: GroundTruth) -> str:
    """Return the figure by which results on the set are usually compared."""
    return "N-S" if truth.protocol == "ukbench" else "mAP"


def ranks_of(truth: GroundTruth, orders: Iterable[NDArray[np.int64]]) -> list[QueryRanks]:
    """Return for each query the ranks of what is relevant in its ranking; raises UsageError as `score` does."""
    found: list[QueryRanks] = []
    remaining = iter(orders)
    for query, order in zip(truth.queries, remaining, strict=False):
        found.append(
            {
                setting: relevant_ranks(order, judgement.relevant, junk=judgement.junk)
                for setting, judgement in query.judgements.items()
                if judgement.relevant.size
            }
        )
    if len(found) < len(truth.queries) or next(remaining, None) is not None:
        raise UsageError(f"orders: expected one ranking for each of the {len(truth.queries)} queries of {truth.file}")
    return found


def main_ranks(truth: GroundTruth, ranks: Sequence[QueryRanks]) -> list[Ranks]:
    """Return the ranks in the main setting, of the queries that have any right answer in it."""
    main = _main_setting(truth)
    return [by_setting[main] for by_setting in ranks if main in by_setting]


def match_curve(truth: GroundTruth, ranks: Sequence[QueryRanks], k: int) -> tuple[float, ...]:
    """Return the cumulative match characteristic: the share of queries answered by rank 1 … k."""
    return tuple(map(float, cmc(main_ranks(truth, ranks), k)))


def summary(truth: GroundTruth, ranks: Sequence[QueryRanks]) -> dict[str, float]:
    """Return the means over queries: of the main setting, of each setting, of each folder of queries."""
    scored: dict[str, list[tuple[Ranks, int]]] = {"": []}
    for suffix, places, relevant in _by_suffix(truth, ranks):
        scored.setdefault(suffix, []).append((places, relevant))
    if not scored[""]:
        raise UsageError(f"{truth.file}: no query has a relevant image; there is nothing to score")
    # The recalls first, from small to large; those that every protocol has keep their place among them.
    depths = sorted({*USUAL_RECALLS, *truth.recalls})
    metrics = {**{f"recall@{k}": _recall(k) for k in depths}, **METRICS[truth.protocol]}
    return {
        name + suffix: mean(metric(*query) for query in queries)
        for suffix, queries in scored.items()
        for name, metric in metrics.items()
    }


def _by_suffix(truth: GroundTruth, ranks: Sequence[QueryRanks]) -> Iterator[tuple[str, Ranks, int]]:
    """Yield (suffix of the metric's name, ranks, number of relevant images), for all that a query counts in."""
    main, folders = _main_setting(truth), _folders(truth)
    for query, by_setting in zip(truth.queries, ranks, strict=True):
        for setting, places in by_setting.items():
            relevant = len(query.judgements[setting].relevant)
            suffixes = [f"/{setting}"] if setting else []
            if setting == main:
                suffixes += ["", f"/{query.folder}"] if query.folder in folders else [""]
            yield from ((suffix, places, relevant) for suffix in suffixes)


def _folders(truth: GroundTruth) -> set[str]:
    """Return the folders of queries that are scored alone too: a few kinds of query, such as two cameras."""
    found = {query.folder for query in truth.queries}
    return found - {""} if 1 < len(found) <= FOLDERS else set()


def _main_setting(truth: GroundTruth) -> str:
    return MAIN_SETTING if truth.protocol == "revisited" else ""
