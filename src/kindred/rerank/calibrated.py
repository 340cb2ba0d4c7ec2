"""Calibrated re-ranking: order results by the probability that they show the same thing as the query.

The probability comes from the cosine of the descriptors and from the inliers of spatial verification, of which those
that agree closely count (`Match.support`), by a model that was fitted on images with ground truth
(`kindred.calibration`). Inliers never move an image down; they move it up fully where the descriptor is unsure, and
hardly where it is sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole
from kindred.calibration import Evidence, copies_of, probabilities_of
from kindred.errors import UsageError
from kindred.features import LocalFeatures
from kindred.ranking import Ranking
from kindred.regions import Box
from kindred.rerank.context import Context, Verified
from kindred.rerank.shortlist import Reranked, checked_queries, compose, result_ids
from kindred.rerank.verification import Match, depth_of, matched_boxes, matches

__all__ = ["calibrated", "evidence_of", "is_first_look_enough"]

FEWEST = 8
"""The fewest inliers that are counted: fewer agree by chance, and the calibration gives nothing for them."""
ENOUGH = 15
"""With so much support of one candidate, the first look at the query is enough: unrelated images have at most 9.

Unless the candidate is a copy of the query, such as the query itself, which agrees with any look at it.
"""
UNMISTAKABLE = 20
"""With so much support one of several small regions needs no correction: on a walk, where neighbouring places share
walls and signs, wrong images have up to 17 with one, but 26 with the middle of the query (gardens-point)."""
DEPTH = 200
"""The candidates that are verified by default."""
FURTHER = 100
"""The most further candidates of a pass that are verified, by it, if none of the first has enough support."""

Found = dict[int, Match | None]
"""What verification found, by the id of the candidate."""


def calibrated(ranking: Ranking, context: Context, *, depth: int | None = None, threads: int = 2) -> Ranking:
    """Order the results by the probability that they show the same thing, which is also their score.

    The first `depth` results, by default 200, are verified spatially, on `threads` threads, as `verify` does; the
    others follow them. The first look at a query decides if it gives a candidate that is not a copy of the query
    support of 15. Otherwise the other passes over it, turned and larger, are compared too, and the best counts: on
    scenes, larger passes favour neighbouring places. If no candidate has support of 15 then, up to 100 further ones of
    each pass are verified by this pass, too. With a learned matcher, which is slow, 20 results are verified by default,
    and 20 further ones. A query without local features, such as a vector, is judged by its cosines alone. The box of a
    result, if it has at least 8 inliers, is the query's frame projected into it. The odds of a large one of several
    regions (`Context.one_of`) are divided by their number, those of a small one by its square root, unless it has
    support of 20. Raises UsageError if the context has no calibration.
    """
    depth = depth_of(context.matcher, DEPTH) if depth is None else depth
    check_whole(depth=depth, threads=threads)
    if context.calibration is None:
        raise UsageError("re-ranker 'calibrated' needs a recipe with a calibration; fit one with kindred fit")
    reranked: list[Reranked] = []
    boxes: list[dict[int, Box]] = []
    vectors = checked_queries(ranking, context)
    with ThreadPoolExecutor(threads) as pool:
        for number, vector in enumerate(vectors):
            ids = result_ids(ranking, number)
            cosines = _cosines(context, vector, ids)
            first, rest = ids[:depth], ids[depth:]
            found = _verified(context, number, first, cosines, pool)
            further = _further(context, number, ids, found, pool)
            if found is not None and further:
                more = np.array(list(further), np.int64)
                closer = _cosines(context, vector, more)
                found |= further
                ids = np.concatenate((first, more, rest))
                cosines = np.insert(cosines, len(first), closer)
            odds = _corrected(context, _evidence(cosines, ids, found))
            if len(rest):  # those that were not verified follow, whatever their cosine
                odds[-len(rest) :] = np.minimum(odds[-len(rest) :], odds[: -len(rest)].min())
            # Ordered by log-odds, as probabilities near 1 are equal in single precision; equal ones keep their order.
            best = np.argsort(-odds, kind="stable")
            reranked.append((ids[best], probabilities_of(odds[best]).astype(np.float32)))
            boxes.append({id_: each.box for id_, each in (found or {}).items() if each is not None})
    ordered = matched_boxes(compose(ranking, reranked), boxes)
    probabilities = np.where(ordered.ids < 0, np.float32(np.nan), ordered.scores)
    return Ranking(ordered.ids, ordered.scores, ordered.boxes, probabilities)


def evidence_of(context: Context, number: int, ids: NDArray[np.int64], *, threads: int = 2) -> Evidence:
    """Return the evidence of candidates (n,) of a query that are verified: what a calibration is fitted on.

    With a learned matcher these are the first 20, as in a search, otherwise all; cosines are compared with all.
    """
    cosines = _cosines(context, context.queries[number], ids)
    first = ids[: depth_of(context.matcher, len(ids))]
    with ThreadPoolExecutor(threads) as pool:
        return _evidence(cosines, ids, _verified(context, number, first, cosines, pool)).first(len(first))


def _corrected(context: Context, evidence: Evidence) -> NDArray[np.float64]:
    """Return the log-odds of candidates, lower for each of several regions unless its support is unmistakable.

    The more regions are compared, the more often one of them resembles something. The odds that a large one of n shows
    what an image shows are those of the whole divided by n (Bonferroni's correction), those of a small one by the
    square root of n, as small regions overlap and most of them resemble nothing.
    """
    assert context.calibration is not None
    odds = context.calibration.log_odds(evidence)
    correction = np.log(context.one_of)
    if not context.is_large:
        correction = np.where(np.nan_to_num(evidence.inliers) < UNMISTAKABLE, correction / 2, 0.0)
    corrected: NDArray[np.float64] = odds - correction
    return corrected


def _cosines(context: Context, query: Vectors, ids: NDArray[np.int64]) -> Vectors:
    """Return the cosines of a query and its candidates (n,)."""
    cosines: Vectors = context.gallery.fetch(ids) @ query if len(ids) else np.zeros(0, np.float32)
    for at, number in enumerate(ids.tolist()):
        if number in context.at_query_size:
            cosines[at] = context.at_query_size[number] @ query
    return cosines


def _evidence(cosines: Vectors, ids: NDArray[np.int64], found: Found | None) -> Evidence:
    """Return the evidence of candidates; `found` is None where the query has no local features."""
    if found is None:
        return Evidence.of_query(cosines)
    counts = [_support(found.get(id_)) for id_ in ids.tolist()]
    return Evidence.of_query(cosines, counts)


def _verified(
    context: Context, number: int, ids: NDArray[np.int64], cosines: Vectors, pool: ThreadPoolExecutor
) -> Found | None:
    """Verify candidates of a query, but for those that the context remembers; None if the query has no features."""
    if context.query_features is None or context.image_features is None:
        return None
    query = context.query_features(number)
    if not len(query):
        return None
    found: Found = dict.fromkeys(ids.tolist())
    copies = frozenset(ids[copies_of(cosines[: len(ids)])].tolist())
    verified = Verified() if context.verified is None else context.verified
    verified.copies[number] = copies
    for look, features in enumerate(query.looks):
        if _are_enough(found, copies):
            break
        known = verified.matches.setdefault((number, look), {})
        _match(context, features, found, known, pool)
        found = {id_: max(each, known[id_], key=_support) for id_, each in found.items()}
    return found


def _further(
    context: Context, number: int, ids: NDArray[np.int64], found: Found | None, pool: ThreadPoolExecutor
) -> Found:
    """Verify further candidates of a query, if none of the first is verified, not even a copy of it.

    Those of a pass are verified by this pass alone: a cover shares words with the pass in which it is seen best.
    """
    more: Found = {}
    if context.further is None or context.query_features is None or found is None or _are_enough(found, frozenset()):
        return more
    verified = Verified() if context.verified is None else context.verified
    listed = zip(context.query_features(number).by_pass, context.further(number), strict=False)
    for at, (features, candidates) in enumerate(listed):
        chosen = candidates[~np.isin(candidates, ids)][: depth_of(context.matcher, FURTHER)].tolist()
        known = verified.further.setdefault((number, at), {})
        _match(context, features, chosen, known, pool)
        more |= {id_: max(more.get(id_), known[id_], key=_support) for id_ in chosen}
    return more


def _match(
    context: Context, features: LocalFeatures, ids: Iterable[int], known: Found, pool: ThreadPoolExecutor
) -> None:
    """Verify candidates by the local features of one look or pass, but for those that are known; add them there."""
    assert context.image_features is not None
    missing = [id_ for id_ in ids if id_ not in known]
    candidates = context.image_features(missing)  # in this thread: a store may not allow others
    matched = matches(features, candidates, pool, minimum=FEWEST, matcher=context.matcher)
    known |= zip(missing, matched, strict=True)


def is_first_look_enough(verified: Verified) -> bool:
    """Return whether the first look at query 0 gave a candidate so much support that it decides."""
    return _are_enough(verified.matches.get((0, 0), {}), verified.copies.get(0, frozenset()))


def _are_enough(found: Found, copies: frozenset[int]) -> bool:
    return any(_support(each) >= ENOUGH for number, each in found.items() if number not in copies)


def _support(found: Match | None) -> float:
    return 0.0 if found is None else found.support
