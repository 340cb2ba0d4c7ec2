"""Score rankings from any source by the metrics of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.evaluation.groundtruth import USUAL_RECALLS, GroundTruth, Protocol
from kindred.evaluation.metrics import (
    Ranks,
    average_precision,
    average_precision_at_k,
    average_precision_at_r,
    cmc,
    mean,
    ndcg,
    ns_score,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
    relevant_ranks,
    revisited_precision_at_k,
    trapezoidal_average_precision,
)
from kindred.hints import nearest

__all__ = [
    "DEEP_METRICS",
    "METRICS",
    "Metric",
    "QueryRanks",
    "find_metric",
    "main_metric",
    "main_ranks",
    "match_curve",
    "ranks_of",
    "score",
    "summary",
]

Metric = Callable[[Ranks, int], float]
QueryRanks = dict[str, Ranks]
"""By setting, the ranks of the images relevant to one query; settings without relevant images are left out."""


DEEP_METRICS: dict[str, Callable[[Ranks, int, int], float]] = {
    "recall": lambda ranks, _, k: recall_at_k(ranks, k),
    "precision": lambda ranks, _, k: precision_at_k(ranks, k),
    "mP": lambda ranks, _, k: revisited_precision_at_k(ranks, k),
    "mAP": lambda ranks, relevant, k: average_precision_at_k(ranks, k, relevant),
    "nDCG": lambda ranks, relevant, k: ndcg(ranks, relevant, k=k),
}
"""Metrics of the first k results, "recall@5": name → (ranks, number of relevant images, k) → the value of a query."""

EVERYWHERE: dict[str, Metric] = {
    "MRR": lambda ranks, _: reciprocal_rank(ranks),
    "nDCG": ndcg,
    "MAP@R": average_precision_at_r,
    "R-precision": r_precision,
}
"""Metrics that can be reported for any protocol."""


def _at(name: str, k: int) -> Metric:
    return lambda ranks, relevant: DEEP_METRICS[name](ranks, relevant, k)


def _all_at(*names: str) -> dict[str, Metric]:
    """Return the metrics of names such as "recall@1"."""
    parts = {each: each.partition("@") for each in names}
    return {each: _at(name, int(k)) for each, (name, _, k) in parts.items()}


_RECALLS = _all_at(*(f"recall@{k}" for k in USUAL_RECALLS))
METRICS: dict[Protocol, dict[str, Metric]] = {
    "plain": {
        **_RECALLS,
        **_all_at("precision@10"),
        "mAP": average_precision,
        **_all_at("mAP@10"),
        "MRR": EVERYWHERE["MRR"],
        "nDCG": ndcg,
        **_all_at("nDCG@10"),
        "MAP@R": average_precision_at_r,
        "R-precision": r_precision,
    },
    "holidays": {**_RECALLS, "mAP": trapezoidal_average_precision},
    "oxford": {**_RECALLS, "mAP": trapezoidal_average_precision},
    "ilias": {**_RECALLS, **_all_at("mAP@1000"), "mAP": average_precision},
    "revisited": {
        **_RECALLS,
        "mAP": trapezoidal_average_precision,
        **_all_at("mP@1", "mP@5", "mP@10", "precision@5", "precision@10"),
    },
    "ukbench": {
        **_RECALLS,
        "mAP": average_precision,
        "N-S": lambda ranks, _: ns_score(ranks),
    },
}
"""The metrics of each protocol: name → (ranks, number of relevant images) → the value for one query.

recall@k is added for the depths in the ground truth, and others by `find_metric`.
"""

MAIN_SETTING = "medium"
"""The setting of the revisited protocol whose figures are also given without a suffix."""

FOLDERS = 6
"""Up to this number, folders of queries are also scored separately; sets of classes have hundreds."""


def score(truth: GroundTruth, orders: Iterable[NDArray[np.int64]], *, metrics: Sequence[str] = ()) -> dict[str, float]:
    """Return the metrics of rankings: for each query of `truth`, in order, positions in the database (K,), best first.

    A ranking may be truncated, or padded with −1: missing images count as not retrieved. `metrics` are names of
    additional metrics, as in `find_metric`. Raises UsageError if the number of rankings is not that of the queries, if
    no query has relevant images, and for an unknown metric.
    """
    return summary(truth, ranks_of(truth, orders), metrics=metrics)


def find_metric(name: str, protocol: Protocol) -> Metric:
    """Return a metric by its name: one of the protocol's, "MRR", "nDCG", "MAP@R", "R-precision", or one "@k".

    Those of the first k results are the names of DEEP_METRICS, as in "precision@20"; "mAP@1k" is mAP@1000. Raises
    UsageError for an unknown name, and for mAP@k if the mAP of the protocol is trapezoidal: the two are not comparable.
    """
    known = {**EVERYWHERE, **METRICS[protocol]}
    if name in known:
        return known[name]
    base, at, depth = name.partition("@")
    if depth.endswith("k") and depth[:-1].isdecimal():
        depth = f"{depth[:-1]}000"
    trapezoids = METRICS[protocol]["mAP"] is trapezoidal_average_precision
    if not (at and base in DEEP_METRICS and depth.isascii() and depth.isdigit() and 0 < int(depth) < 10**9):
        deep = [f"{each}@10" for each in DEEP_METRICS if not (trapezoids and each == "mAP")]
        raise UsageError(f"unknown metric {name!r}; {nearest(name, dict.fromkeys([*known, *deep]))}")
    if trapezoids and base == "mAP":
        raise UsageError(f"metric {name!r}: this set's mAP is trapezoidal, mAP@k is not; choose another")
    return _at(base, int(depth))


def main_metric(truth: GroundTruth) -> str:
    """Return the metric by which results on the set are usually compared."""
    return {"ukbench": "N-S", "ilias": "mAP@1000"}.get(truth.protocol, "mAP")


def ranks_of(truth: GroundTruth, orders: Iterable[NDArray[np.int64]]) -> list[QueryRanks]:
    """Return for each query the ranks of the relevant images in its ranking; raises UsageError as `score` does."""
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
    """Return the ranks in the main setting, of the queries that have a relevant image in it."""
    main = _main_setting(truth)
    return [by_setting[main] for by_setting in ranks if main in by_setting]


def match_curve(truth: GroundTruth, ranks: Sequence[QueryRanks], k: int) -> tuple[float, ...]:
    """Return the cumulative match characteristic: the fraction of queries with a relevant image by rank 1 … k."""
    return tuple(map(float, cmc(main_ranks(truth, ranks), k)))


def summary(truth: GroundTruth, ranks: Sequence[QueryRanks], *, metrics: Sequence[str] = ()) -> dict[str, float]:
    """Return the means over queries: of the main setting, of each setting, of each folder of queries.

    `metrics` are names of additional metrics.
    """
    scored: dict[str, list[tuple[Ranks, int]]] = {"": []}
    for suffix, places, relevant in _by_suffix(truth, ranks):
        scored.setdefault(suffix, []).append((places, relevant))
    if not scored[""]:
        raise UsageError(f"{truth.file}: no query has a relevant image; there is nothing to score")
    # The recalls first, by increasing depth, including those of every protocol.
    depths = sorted({*USUAL_RECALLS, *truth.recalls})
    wanted = {**_all_at(*(f"recall@{k}" for k in depths)), **METRICS[truth.protocol]}
    wanted |= {name: find_metric(name, truth.protocol) for name in metrics}
    return {
        name + suffix: mean(metric(*query) for query in queries)
        for suffix, queries in scored.items()
        for name, metric in wanted.items()
    }


def _by_suffix(truth: GroundTruth, ranks: Sequence[QueryRanks]) -> Iterator[tuple[str, Ranks, int]]:
    """Yield (suffix of the metric's name, ranks, number of relevant images) for all means to which a query belongs."""
    main, folders = _main_setting(truth), _folders(truth)
    for query, by_setting in zip(truth.queries, ranks, strict=True):
        for setting, places in by_setting.items():
            relevant = len(query.judgements[setting].relevant)
            suffixes = [f"/{setting}"] if setting else []
            if setting == main:
                suffixes += ["", f"/{query.folder}"] if query.folder in folders else [""]
            yield from ((suffix, places, relevant) for suffix in suffixes)


def _folders(truth: GroundTruth) -> set[str]:
    """Return the folders of queries that are also scored separately: a few kinds of query, such as two cameras."""
    found = {query.folder for query in truth.queries}
    return found - {""} if 1 < len(found) <= FOLDERS else set()


def _main_setting(truth: GroundTruth) -> str:
    return MAIN_SETTING if truth.protocol == "revisited" else ""
