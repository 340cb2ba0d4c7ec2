"""Fusion: several vectors of an image into one (early), or several rankings of a query into one (late).

Early fusion combines vectors of several layers or networks before any comparison; it takes NumPy arrays or PyTorch
tensors, and gradients flow. Late fusion combines rankings, whose ids must refer to the same images.

All late fusions have in common: the results of a query are the union of the rankings' results, each once; if a
ranking lists an id twice, its first rank counts. Equal scores are ordered by id, lower first. The box of a result
comes from the ranking with boxes that ranks it best (on equal ranks, the first ranking given); a result that no such
ranking lists has a box of NaN, which stands for the whole image.

`FUSIONS` is the table of late fusions; `fuse` takes a name from it, or a custom function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Array, ArrayT, check_positive, check_whole, l2_normalise, namespace
from kindred.errors import RecipeError, UsageError
from kindred.hints import check_known, check_options, options_of
from kindred.ranking import Ranking

__all__ = [
    "FUSIONS",
    "Fusion",
    "borda",
    "comb_mnz",
    "concatenate",
    "fuse",
    "mean_scores",
    "query_adaptive",
    "reciprocal_rank",
    "weighted_scores",
    "z_score",
]

Scores = NDArray[np.float64]
Options = int | float | str | Sequence[float] | Sequence[NDArray[np.floating[Any]]] | None


def concatenate(parts: Sequence[ArrayT], *, weights: Sequence[float] | None = None) -> ArrayT:
    """Concatenate the vectors of several layers or networks: M parts (N, Di) → unit vectors (N, ΣDi).

    Each part is normalised and scaled by the square root of its weight, so that the dot product of two fused vectors
    is the weighted mean of the cosines of their parts. The weight of a zero part goes to the others. `weights`: M
    non-negative numbers, not all 0; None for equal weights. Raises UsageError for invalid weights and for parts of
    different N.
    """
    shares = _shares(weights, len(_checked_parts(parts)))
    xp = namespace(*parts)
    scaled = [share**0.5 * _unit(part) for share, part in zip(shares, parts, strict=True)]
    fused: ArrayT = l2_normalise(xp.concat(scaled, axis=1))
    return fused


def weighted_scores(
    rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None, normalise: str = "min_max"
) -> Ranking:
    """Average the scores of several rankings (CombSUM, weighted; Fox and Shaw 1994).

    normalise: "min_max" scales the scores of each ranking and query to 0 … 1 (to 1 if all are equal); "none" averages
    them unchanged. A result missing from a ranking gets the lowest score in it, the most it could have. `weights` as
    in `concatenate`. Raises UsageError for an unknown `normalise` or invalid weights.
    """
    if normalise not in ("min_max", "none"):
        raise UsageError(f"normalise is {normalise!r}; expected 'min_max' or 'none'")
    shares = np.array(_shares(weights, len(_checked_rankings(rankings))))

    def score(listed: Sequence[_Listed]) -> Scores:
        columns = [_min_max(each.scores) if normalise == "min_max" else each.scores for each in listed]
        lowest = [0.0 if normalise == "min_max" or not len(column) else column[-1] for column in columns]
        filled = [each.spread(column, low) for each, column, low in zip(listed, columns, lowest, strict=True)]
        mean: Scores = shares @ np.stack(filled)
        return mean

    return _fused(rankings, score)


def mean_scores(rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None) -> Ranking:
    """Average the scores of rankings whose scores mean the same, such as the probabilities of calibrated ones.

    This is `weighted_scores` without normalisation; of probabilities it is the linear opinion pool (Stone 1961).
    `weights` as in `concatenate`.
    """
    return weighted_scores(rankings, weights=weights, normalise="none")


def z_score(rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None) -> Ranking:
    """Average standard scores: (score − mean) / standard deviation over the results of a ranking for a query.

    If all scores are equal, the standard scores are 0. A result missing from a ranking gets the lowest score in it.
    `weights` as in `concatenate`. Source: Montague and Aslam 2001 (ZMUV; they do not define missing results).
    """
    shares = np.array(_shares(weights, len(_checked_rankings(rankings))))

    def score(listed: Sequence[_Listed]) -> Scores:
        columns = [_standard(each.scores) for each in listed]
        lowest = [column.min(initial=0.0) for column in columns]
        filled = [each.spread(column, low) for each, column, low in zip(listed, columns, lowest, strict=True)]
        mean: Scores = shares @ np.stack(filled)
        return mean

    return _fused(rankings, score)


def comb_mnz(rankings: Sequence[Ranking]) -> Ranking:
    """Sum the min-max normalised scores and multiply by the number of rankings with the result (Fox and Shaw 1994).

    If all scores of a ranking are equal, they become 1. A missing result counts 0.
    """
    _checked_rankings(rankings)

    def score(listed: Sequence[_Listed]) -> Scores:
        total = np.sum([each.spread(_min_max(each.scores), 0.0) for each in listed], axis=0)
        times = np.sum([each.spread(np.ones_like(each.scores), 0.0) for each in listed], axis=0)
        product: Scores = total * times
        return product

    return _fused(rankings, score)


def borda(rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None) -> Ranking:
    """Sum Borda points: of c results in all rankings, a ranking gives its first c points, its second c − 1, and so on.

    The results missing from a ranking share its remaining points evenly. Scores need not be comparable. `weights` as
    in `concatenate`; None counts each ranking once. Source: Aslam and Montague 2001 (Borda-fuse).
    """
    count = len(_checked_rankings(rankings))
    shares = np.array(_shares(weights, count)) * count

    def score(listed: Sequence[_Listed]) -> Scores:
        points = [
            each.spread(each.count - np.arange(len(each.at), dtype=np.float64), (each.count - len(each.at) + 1) / 2)
            for each in listed
        ]
        total: Scores = shares @ np.stack(points)
        return total

    return _fused(rankings, score)


def reciprocal_rank(rankings: Sequence[Ranking], *, k: int = 60) -> Ranking:
    """Sum 1 / (k + rank) over the rankings that contain a result, ranks from 1 (Cormack et al. 2009).

    Scores need not be comparable. A missing result counts 0. The larger `k`, the smaller the advantage of the first
    ranks.
    """
    check_whole(k=k)
    _checked_rankings(rankings)

    def score(listed: Sequence[_Listed]) -> Scores:
        total: Scores = np.sum([each.spread(1 / (k + 1 + each.places), 0.0) for each in listed], axis=0)
        return total

    return _fused(rankings, score)


def query_adaptive(
    rankings: Sequence[Ranking],
    *,
    references: Sequence[NDArray[np.floating[Any]]] | None = None,
    neighbours: int = 10,
    tail: float = 0.5,
    floor: float = 0.01,
) -> Ranking:
    """Multiply the scores of several rankings, weighted for each query by their score curves (Zheng et al. 2015).

    A ranking that discriminates well has an L-shaped score curve: high for a few results, then low. Its weight is
    1 / A, where A is the area under the curve normalised to 0 … 1; weights sum to 1. The fused score is Π s^weight.

    references: for each ranking, the falling score curves (n, L ≥ K) of queries on data without relevant images. The
    mean of the `neighbours` curves nearest to the query's own over its last `tail` (a fraction) is subtracted before
    the curve is normalised; None subtracts nothing. Areas are comparable only for lists of about equal length.

    Differences from the paper: the multiplied scores are the min-max normalised scores without the subtraction, which
    depends on the rank and could swap two results; and a result that is missing from a ranking, or last in it, counts
    `floor` instead of 0, which would exclude it. Raises UsageError for parameters out of range and for curves that
    are too short.
    """
    check_whole(neighbours=neighbours)
    check_positive(tail=tail, floor=floor)
    if tail > 1 or floor > 1:
        raise UsageError(f"got tail {tail} and floor {floor}; expected at most 1")
    curves = _checked_curves(references, _checked_rankings(rankings))

    def score(listed: Sequence[_Listed]) -> Scores:
        areas = [_area(each.scores, own, neighbours, tail) for each, own in zip(listed, curves, strict=True)]
        shares = np.array([1 / area if area else 0.0 for area in areas])
        filled = np.stack([each.spread(np.maximum(_min_max(each.scores), floor), floor) for each in listed])
        product: Scores = np.exp(shares @ np.log(filled) / shares.sum())
        return product

    return _fused(rankings, score)


@dataclass(frozen=True)
class Fusion:
    """One entry of FUSIONS.

    function: rankings, and parameters by name → a ranking. summary: what it does, in a few words. source: author and
    year, for the documentation.
    """

    function: Callable[..., Ranking]
    summary: str
    source: str


FUSIONS: dict[str, Fusion] = {
    "weighted_scores": Fusion(weighted_scores, "weighted mean of normalised scores", "Fox and Shaw 1994"),
    "mean_scores": Fusion(mean_scores, "weighted mean of the scores as they are, such as probabilities", "Stone 1961"),
    "reciprocal_rank": Fusion(reciprocal_rank, "sum of 1 / (k + rank)", "Cormack et al. 2009"),
    "z_score": Fusion(z_score, "weighted mean of standard scores", "Montague and Aslam 2001"),
    "comb_mnz": Fusion(comb_mnz, "sum of normalised scores times number of rankings with it", "Fox and Shaw 1994"),
    "borda": Fusion(borda, "points by rank; missing results share the rest", "Aslam and Montague 2001"),
    "query_adaptive": Fusion(query_adaptive, "product of scores, weighted by their curves", "Zheng et al. 2015"),
}


def fuse(rankings: Sequence[Ranking], method: str | Callable[..., Ranking], **parameters: Options) -> Ranking:
    """Fuse rankings of the same queries by a name of FUSIONS or a custom function.

    `parameters` are those of the function, by name. Raises RecipeError for an unknown name or parameter, UsageError
    if the rankings are of different queries or a parameter is out of range.
    """
    if not isinstance(method, str):
        return method(rankings, **parameters)
    check_known("fusion", method, FUSIONS, error=RecipeError)
    function = FUSIONS[method].function
    check_options(f"fusion {method!r}", parameters, options_of(function), error=RecipeError)
    return function(rankings, **parameters)


@dataclass(frozen=True, eq=False)
class _Listed:
    """The n results of one ranking for one query, out of the `count` results of all rankings.

    at: (n,), their positions among all results. scores: (n,), non-increasing. places: (n,), their ranks from 0.
    """

    at: NDArray[np.int64]
    scores: Scores
    places: NDArray[np.int64]
    count: int

    def spread(self, values: Scores, missing: float) -> Scores:
        """Scatter `values` (n,) into (count,), with `missing` for results that the ranking does not have."""
        full = np.full(self.count, missing)
        full[self.at] = values
        return full


def _fused(rankings: Sequence[Ranking], score: Callable[[Sequence[_Listed]], Scores]) -> Ranking:
    """Rank the union of the results of each query by the scores (count,) that `score` returns."""
    results = [_fused_query(rankings, query, score) for query in range(len(rankings[0]))]
    width = max((len(ids) for ids, _, _ in results), default=0)
    shape = (len(results), width)
    all_ids, all_scores = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
    all_boxes = np.full((*shape, 4), np.nan, np.float32)
    for query, (ids, scores, boxes) in enumerate(results):
        all_ids[query, : len(ids)], all_scores[query, : len(ids)] = ids, scores
        all_boxes[query, : len(ids)] = boxes
    boxed = any(ranking.boxes is not None for ranking in rankings)
    return Ranking(all_ids, all_scores, all_boxes if boxed else None)


def _fused_query(
    rankings: Sequence[Ranking], query: int, score: Callable[[Sequence[_Listed]], Scores]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return ids (n,), scores (n,) and boxes (n, 4) of one query, best first."""
    firsts = []
    for ranking in rankings:
        ids, places = np.unique(ranking.ids[query], return_index=True)  # the first rank of each
        order = np.argsort(places)
        order = order[ids[order] >= 0]
        firsts.append((ids[order], places[order]))
    union = np.unique(np.concatenate([ids for ids, _ in firsts]))
    if not len(union):
        return union, np.empty(0, np.float32), np.empty((0, 4), np.float32)
    listed = [
        _Listed(np.searchsorted(union, ids), ranking.scores[query, places].astype(np.float64), places, len(union))
        for ranking, (ids, places) in zip(rankings, firsts, strict=True)
    ]
    scores = score(listed).astype(np.float32)
    order = np.argsort(-scores, kind="stable")  # `union` is ascending
    return union[order], scores[order], _boxes(rankings, listed, query)[order]


def _boxes(rankings: Sequence[Ranking], listed: Sequence[_Listed], query: int) -> NDArray[np.float32]:
    """Return for each result the box (4,) of the ranking that ranks it best; NaN if there is none: (count, 4)."""
    boxes = np.full((listed[0].count, 4), np.nan, np.float32)
    best = np.full(listed[0].count, np.inf)
    for ranking, each in zip(rankings, listed, strict=True):
        if ranking.boxes is not None:
            better = each.places < best[each.at]
            best[each.at[better]] = each.places[better]
            boxes[each.at[better]] = ranking.boxes[query, each.places[better]]
    return boxes


def _min_max(scores: Scores) -> Scores:
    """Scale scores (n,) to 0 … 1; to 1 if all are equal."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _standard(scores: Scores) -> Scores:
    """Return the standard scores (n,); 0 if all are equal."""
    if not scores.size or np.ptp(scores) == 0:  # the standard deviation would be rounding error only
        return np.zeros_like(scores)
    standard: Scores = (scores - scores.mean()) / scores.std()
    return standard


def _area(scores: Scores, curves: Scores | None, neighbours: int, tail: float) -> float:
    """Return the area under a score curve (n,) less that of the nearest reference `curves`; 0 for an empty curve."""
    if not scores.size:
        return 0.0
    if curves is not None:
        first = min(int(len(scores) * (1 - tail)), len(scores) - 1)
        apart = np.linalg.norm(curves[:, first : len(scores)] - scores[first:], axis=1)
        nearest = np.argsort(apart, kind="stable")[:neighbours]
        left = scores - curves[nearest, : len(scores)].mean(axis=0)
        if np.ptp(left) <= 1e-6 * np.ptp(scores):  # what is left is rounding error, not a curve
            return 1.0
        scores = left
    return float(_min_max(scores).mean())


def _checked_curves(
    references: Sequence[NDArray[np.floating[Any]]] | None, rankings: Sequence[Ranking]
) -> list[Scores] | list[None]:
    """Return the reference curves of each ranking, or None for each; raise UsageError for invalid ones."""
    if references is None:
        return [None] * len(rankings)
    if len(references) != len(rankings):
        raise UsageError(f"references: got {len(references)}; expected one array of curves for each of {len(rankings)}")
    curves = [np.asarray(each, np.float64) for each in references]
    for number, (own, ranking) in enumerate(zip(curves, rankings, strict=True)):
        needed = ranking.ids.shape[1]
        if own.ndim != 2 or not len(own) or own.shape[1] < needed:
            raise UsageError(f"references: number {number} has shape {own.shape}; expected (n, {needed} or more)")
        if not np.isfinite(own).all():
            raise UsageError(f"references: number {number} holds NaN or infinity; expected score curves")
    return curves


def _checked_rankings(rankings: Sequence[Ranking]) -> Sequence[Ranking]:
    """Raise UsageError unless there is a ranking, and all have the same number of queries and finite scores."""
    if not rankings:
        raise UsageError("rankings: got none; expected at least one")
    if len({len(ranking) for ranking in rankings}) > 1:
        counts = ", ".join(str(len(ranking)) for ranking in rankings)
        raise UsageError(f"rankings: got {counts} queries; expected the same queries in each")
    for number, ranking in enumerate(rankings):
        if np.isposinf(ranking.scores).any():
            raise UsageError(f"rankings: number {number} holds an infinite score; expected finite numbers")
    return rankings


def _checked_parts(parts: Sequence[ArrayT]) -> Sequence[ArrayT]:
    """Raise UsageError unless there is a part, and all are matrices with the same number of rows."""
    if not parts:
        raise UsageError("parts: got none; expected at least one matrix (N, D)")
    if any(part.ndim != 2 for part in parts) or len({part.shape[0] for part in parts}) > 1:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise UsageError(f"parts: got shapes {shapes}; expected matrices (N, Di) with the same N")
    return parts


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return `count` weights that sum to 1; raise UsageError for invalid ones."""
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count:
        raise UsageError(f"weights: got {len(given)}; expected {count}, one for each")
    if any(not isfinite(weight) or weight < 0 for weight in given) or not sum(given) > 0:
        raise UsageError(
            f"weights: got {', '.join(f'{weight:g}' for weight in given)}; expected none below 0 and not all 0"
        )
    return [weight / sum(given) for weight in given]


def _unit(part: Array) -> Any:
    """Normalise; the result is untyped, for arithmetic that `Array` does not declare."""
    return l2_normalise(part)
