"""Spatial verification: count the keypoints of a candidate that agree with one change of view of the query.

Keypoints are paired if their descriptors are mutual nearest neighbours, or by a learned matcher if the card of their
model names one (`kindred.features.matcher`). A homography is fitted to the pairs (`kindred.rerank.estimation`), and
those that agree with it, its inliers, are counted. Images of other objects have a few inliers by chance. The points of
a query that was looked at in several passes, such as turned, are compared pass by pass; the best counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from math import inf
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_positive, check_whole
from kindred.errors import UsageError
from kindred.features import LocalFeatures, Matcher, Pairs
from kindred.hints import check_known
from kindred.ranking import Ranking
from kindred.regions import Box, clipped
from kindred.rerank.context import Context
from kindred.rerank.estimation import Matrix, Model, Points, estimate
from kindred.rerank.shortlist import Reranked, compose, result_ids

__all__ = [
    "Agreement",
    "Match",
    "Model",
    "agreement",
    "depth_of",
    "match",
    "matched_boxes",
    "matches",
    "pair_up",
    "verify",
]

SAMPLE: dict[Model, int] = {"homography": 4, "affine": 3}
"""Pairs that determine a model."""
BLOCK = 16
"""Candidates whose descriptors are compared at once: 500 × 8,000 products take 16 MB."""
RUNNING = 3
"""Blocks that are read while earlier ones are compared."""
MATCHED_BLOCK = 4
"""Candidates that a learned matcher pairs before it is asked whether there are enough matches."""
DEPTH, MATCHED_DEPTH = 100, 20
"""Candidates that are verified by default, and with a learned matcher.

LightGlue (9 layers, 256 components) takes 0.18 s of a core for 500 and 150 keypoints (random weights, 2026-11-29).
"""
RATIO = 0.85
"""Threshold of the ratio test for features that name none."""
CLOSE, WORTH = 0.5, 1.5
"""Inliers within CLOSE tolerances are close, and count WORTH times in the support of a match; others do not."""
LARGEST_SCALE = 10.0
"""Largest change of size of an object between query and candidate, relative to the sizes of the images."""
LARGEST_SPREAD = 16.0
"""Largest ratio of the local scales of a model at any two inliers (a limit on perspective)."""


class Match(NamedTuple):
    """A verified candidate: its number of inliers, and the box of the query in it.

    support: the inliers that agree closely, within half the tolerance, times 1.5, so that it is about as large as
    `inliers`. Neighbouring places and things of one kind agree about as often, but less closely, than the same one.
    """

    inliers: int
    box: Box
    support: float


class Agreement(NamedTuple):
    """The points of query and candidate that agree with one change of view, each (n, 2), in pixels of the originals.

    matrix: (3, 3), maps points of the query to points of the candidate.
    """

    match: Match
    matrix: Matrix
    ours: Points
    theirs: Points


def verify(
    ranking: Ranking,
    context: Context,
    *,
    depth: int | None = None,
    learned: bool = True,
    ratio: float = 0.0,
    model: Model = "homography",
    threshold: float = 0.01,
    minimum: int = 8,
    enough: int | None = None,
    seed: int = 0,
    threads: int = 2,
) -> Ranking:
    """Put the verified results among the first `depth` first, ordered by their number of inliers.

    `depth` is by default 100, and 20 with a learned matcher, which is slow. With `learned`, the matcher of the context
    pairs the keypoints, if it has one, in place of nearest neighbours and ratio test. `ratio` is the threshold of that
    test, the distance to the nearest descriptor over that to the second nearest; 0 takes the one that suits the
    features, 0.85 for SIFT. `model` is the change of view, "homography" or "affine". `threshold` is the largest
    residual of an inlier, as a fraction of the candidate's longer side. A candidate with fewer than `minimum` inliers
    (images of other objects reach 6 by chance) is not verified; such candidates, and all results beyond `depth`, follow
    in their old order. With `enough`, candidates after the first with that many inliers are not verified. Inliers at
    the same position count once; models that mirror the query or change its size implausibly are rejected. `threads`
    blocks of candidates are compared at a time.

    The score of a verified result is its number of inliers. Its box is the query's frame projected into the candidate
    and clipped to it; the boxes of other results are unchanged, or NaN if the ranking had none. Sources: Lowe 2004
    for the ratio test, Philbin et al. 2007. Raises UsageError if the context has no local features or if descriptors
    differ in dimension.
    """
    matcher = context.matcher if learned else None
    depth = depth_of(matcher, DEPTH) if depth is None else depth
    check_whole(depth=depth, minimum=minimum, threads=threads, **({} if enough is None else {"enough": enough}))
    _check_fractions(threshold=threshold, **({"ratio": ratio} if ratio else {}))
    if not (isinstance(seed, Integral) and seed >= 0):
        raise UsageError(f"seed: got {seed!r}; expected a whole number of at least 0")
    check_known("model", model, SAMPLE, error=UsageError, where="verify")
    if context.query_features is None or context.image_features is None:
        raise UsageError("verification compares local features, and these images have none; store them when indexing")
    reranked: list[Reranked] = []
    boxes: list[dict[int, Box]] = []
    with ThreadPoolExecutor(threads) as pool:
        for number in range(len(ranking)):
            ids = result_ids(ranking, number, limit=depth).tolist()
            candidates = context.image_features(ids)  # in this thread: a store may not allow others
            matched = matches(
                context.query_features(number),
                candidates,
                pool,
                ratio=ratio,
                model=model,
                threshold=threshold,
                minimum=minimum,
                seed=seed,
                matcher=matcher,
            )
            found = _found(ids, matched, enough or inf)
            best = sorted(found, key=lambda candidate: -found[candidate].inliers)  # stable: ties keep their order
            counts = [found[candidate].inliers for candidate in best]
            reranked.append((np.array(best, np.int64), np.array(counts, np.float32)))
            boxes.append({candidate: matched.box for candidate, matched in found.items()})
    return matched_boxes(compose(ranking, reranked), boxes)


def _check_fractions(**parameters: float) -> None:
    check_positive(**parameters)
    for name, value in parameters.items():
        if value > 1:
            raise UsageError(f"{name}: got {value!r}; expected a number above 0, at most 1")


def match(
    query: LocalFeatures,
    candidate: LocalFeatures,
    *,
    ratio: float = 0.0,
    model: Model = "homography",
    threshold: float = 0.01,
    minimum: int = 8,
    seed: int = 0,
    matcher: Matcher | None = None,
) -> Match | None:
    """Verify one candidate against a query; None if it does not match. The options are those of `verify`.

    `matcher` pairs the keypoints, in place of nearest neighbours.
    """
    fit = _Fit(query, model, threshold, max(minimum, SAMPLE[model]), seed)
    return fit(candidate, _pairs_of(query, candidate, ratio, matcher))


def agreement(
    query: LocalFeatures,
    candidate: LocalFeatures,
    *,
    minimum: int = 8,
    seed: int = 0,
    matcher: Matcher | None = None,
) -> Agreement | None:
    """Return the points in which two images agree; None if fewer than `minimum` do. As `match`, with a homography."""
    if not len(query) or not len(candidate):
        return None
    fit = _Fit(query, "homography", 0.01, max(minimum, SAMPLE["homography"]), seed)
    return fit.agreement(candidate, _pairs_of(query, candidate, 0.0, matcher))


def matches(
    query: LocalFeatures,
    candidates: Iterable[LocalFeatures],
    pool: ThreadPoolExecutor,
    *,
    ratio: float = 0.0,
    model: Model = "homography",
    threshold: float = 0.01,
    minimum: int = 8,
    seed: int = 0,
    matcher: Matcher | None = None,
) -> Iterator[Match | None]:
    """Yield the match of each candidate, in order, None for one that does not match; the options are those of `verify`.

    The threads of `pool` compare the descriptors of blocks of candidates and fit models; with a `matcher`, only the
    latter.
    """
    fit = _Fit(query, model, threshold, max(minimum, SAMPLE[model]), seed)
    if matcher is not None:
        return _learned_matches(fit, candidates, matcher, pool)
    return _matches(fit, candidates, ratio, pool)


def depth_of(matcher: Matcher | None, usual: int) -> int:
    """Return how many candidates are verified by default: `usual`, fewer with a learned matcher."""
    return usual if matcher is None else min(usual, MATCHED_DEPTH)


def pair_up(similarities: Vectors, *, ratio: float) -> Pairs:
    """Pair descriptors that are mutual nearest neighbours: cosines (m candidate, n query) → points of both.

    Pairs whose distance is not below `ratio` times that to the second nearest in the candidate (Lowe's ratio test) are
    dropped. `similarities` is overwritten.
    """
    if not similarities.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    theirs = np.arange(len(similarities))
    ours = similarities.argmax(axis=1)
    nearest = similarities.max(axis=0)
    mutual = similarities[theirs, ours] >= nearest[ours]
    theirs, ours = theirs[mutual], ours[mutual]
    ours, first = np.unique(ours, return_index=True)
    theirs = theirs[first]  # with several equally near ones, the pair fails the ratio test
    similarities[theirs, ours] = -inf
    second = similarities[:, ours].max(axis=0)  # of the few that are paired: a third of the time of all is saved
    near = np.maximum(1 - nearest[ours], 0) < ratio**2 * (1 - second)  # half the squared distances of unit vectors
    return ours[near], theirs[near]


def matched_boxes(ranking: Ranking, boxes: list[dict[int, Box]]) -> Ranking:
    """Set the boxes of the results whose ids are in `boxes`; others are unchanged, or NaN if there were none."""
    every = np.full((*ranking.ids.shape, 4), np.nan, np.float32) if ranking.boxes is None else ranking.boxes.copy()
    for number, known in enumerate(boxes):
        for place, candidate in enumerate(ranking.ids[number].tolist()):
            if candidate in known:
                every[number, place] = known[candidate]
    return Ranking(ranking.ids, ranking.scores, every)


def _found(ids: list[int], matches: Iterable[Match | None], enough: float) -> dict[int, Match]:
    """Return the matches by id, in order, up to the first that has `enough` inliers."""
    found: dict[int, Match] = {}
    for candidate, matched in zip(ids, matches, strict=True):
        if matched is None:
            continue
        found[candidate] = matched
        if matched.inliers >= enough:
            break
    return found


def _matches(
    fit: _Fit, candidates: Iterable[LocalFeatures], ratio: float, pool: ThreadPoolExecutor
) -> Iterator[Match | None]:
    """Yield the match of each candidate, in order; each thread pairs a block and fits its models."""
    ours = _unit(fit.query.descriptors)

    def of_block(block: list[LocalFeatures]) -> list[Match | None]:
        return [fit(each, pairs) for each, pairs in zip(block, _paired(fit.query, ours, block, ratio), strict=True)]

    running: deque[Future[list[Match | None]]] = deque()
    for block in _blocks(candidates, BLOCK):
        running.append(pool.submit(of_block, block))
        if len(running) > RUNNING:
            yield from running.popleft().result()
    for each in running:
        yield from each.result()


def _learned_matches(
    fit: _Fit, candidates: Iterable[LocalFeatures], matcher: Matcher, pool: ThreadPoolExecutor
) -> Iterator[Match | None]:
    """Yield the match of each candidate, in order; models are fitted while the next candidates are paired."""
    for block in _blocks(candidates, MATCHED_BLOCK):
        yield from pool.map(fit, block, (_learned_pairs(fit.query, each, matcher) for each in block))


def _blocks(candidates: Iterable[LocalFeatures], size: int) -> Iterator[list[LocalFeatures]]:
    """Yield candidates `size` at a time."""
    rest = iter(candidates)
    while block := list(islice(rest, size)):
        yield block


def _pairs_of(query: LocalFeatures, candidate: LocalFeatures, ratio: float, matcher: Matcher | None) -> list[Pairs]:
    """Return the pairs of one candidate, those of each pass apart."""
    if matcher is not None:
        return _learned_pairs(query, candidate, matcher)
    (pairs,) = _paired(query, _unit(query.descriptors), [candidate], ratio)
    return pairs


def _learned_pairs(query: LocalFeatures, candidate: LocalFeatures, matcher: Matcher) -> list[Pairs]:
    """Pair the points of each pass over the query with those of a candidate by a learned matcher."""
    pairs, first = [], 0
    for each in query.by_pass:
        ours, theirs = matcher(each, candidate)
        pairs.append((ours + first, theirs))
        first += len(each)
    return pairs


def _paired(query: LocalFeatures, ours: Vectors, block: list[LocalFeatures], ratio: float) -> list[list[Pairs]]:
    """Pair the query's unit descriptors (n, D) with those of each candidate, the points of each of its passes apart.

    A ratio of 0 is the one that suits the features of the query.
    """
    full = [each.descriptors for each in block if len(each)]
    if not full or not len(ours):
        return [[] for _ in block]
    ratio = ratio or query.ratio or RATIO
    lengths = {each.shape[1] for each in full} | {ours.shape[1]}
    if len(lengths) > 1:
        raise UsageError(
            f"got descriptors of {' and '.join(map(str, sorted(lengths)))} components; expected one dimension: "
            "index the images again with one recipe"
        )
    theirs = np.concatenate([_unit(each) for each in full])
    products = theirs @ ours.T  # one product for all: a small one per candidate takes twice as long
    ends = np.cumsum([len(each) for each in block])
    passes = query.passes or (len(query),)
    firsts = np.cumsum(passes) - passes
    paired: list[list[Pairs]] = []
    for each, end in zip(block, ends, strict=True):
        rows, parts = products[end - len(each) : end], []
        for first, count in zip(firsts.tolist(), passes, strict=True):
            mine, their = pair_up(rows[:, first : first + count], ratio=ratio)
            parts.append((mine + first, their))
        paired.append(parts)
    return paired


def _unit(descriptors: NDArray[np.uint8] | NDArray[np.float32]) -> Vectors:
    """Return descriptors (n, D) as unit rows: `l2_normalise` without its guard against overflow, in half the time.

    Rows that are zero, not finite, or too long for a norm become zero, which resembles nothing.
    """
    rows = descriptors.astype(np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    usable = (norms > 0) & (norms < inf)
    if not usable.all():
        rows[~usable], norms[~usable] = 0, 1
    rows /= norms[:, None]
    return rows


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fits a change of view from the query to a candidate; may be called from several threads."""

    query: LocalFeatures
    model: Model
    threshold: float
    minimum: int
    seed: int

    def __call__(self, candidate: LocalFeatures, passes: Sequence[Pairs]) -> Match | None:
        """Return the match of a candidate by the pass with most support, None if all have too few inliers."""
        found = [self._of_pass(candidate, pairs) for pairs in passes]
        return max((each for each in found if each is not None), key=_strength, default=None)

    def agreement(self, candidate: LocalFeatures, passes: Sequence[Pairs]) -> Agreement | None:
        """Return the points that agree, of the pass with most support; None if all have too few."""
        found = [self._agreeing(candidate, pairs) for pairs in passes]
        return max((each for each in found if each is not None), key=lambda each: _strength(each.match), default=None)

    def _of_pass(self, candidate: LocalFeatures, pairs: Pairs) -> Match | None:
        agreement = self._agreeing(candidate, pairs)
        return None if agreement is None else agreement.match

    def _agreeing(self, candidate: LocalFeatures, pairs: Pairs) -> Agreement | None:
        if len(pairs[0]) < self.minimum:
            return None
        ours, theirs = self.query.points[pairs[0]], candidate.points[pairs[1]]
        frame, found = self.query.extent, candidate.extent
        tolerance = self.threshold * _longest(found)
        enlarged = _longest(found) / _longest(frame)
        scales = enlarged / LARGEST_SCALE, enlarged * LARGEST_SCALE
        best = estimate(
            ours,
            theirs,
            tolerance=tolerance,
            model=self.model,
            least=self.minimum,
            scales=scales,
            seed=self.seed,
        )
        if best is None:
            return None
        inside, close = best.distances < tolerance, best.distances < CLOSE * tolerance
        if not inside.any() or not _plausible(best.matrix, ours[inside], enlarged):
            return None

        def distinct(chosen: NDArray[np.bool_]) -> int:
            return min(
                _distinct_positions(ours[chosen], tolerance / enlarged), _distinct_positions(theirs[chosen], tolerance)
            )

        inliers = distinct(inside)
        if inliers < self.minimum:
            return None
        box = _box(best.matrix, frame, found, theirs[inside])
        matched = Match(inliers, box, WORTH * distinct(close))
        return Agreement(matched, best.matrix, ours[inside], theirs[inside])


def _strength(match: Match) -> tuple[float, int]:
    return match.support, match.inliers


def _longest(frame: Box) -> float:
    x0, y0, x1, y1 = frame
    return max(x1 - x0, y1 - y0, 1.0)


def _plausible(matrix: Matrix, points: Points, enlarged: float) -> bool:
    """Return whether a change of view is plausible: inliers in front of the camera, not mirrored, of a similar size.

    det(H) / w³ is the area to which a unit area at a point is mapped; `enlarged` is the candidate's longer side as a
    multiple of the query's.
    """
    depths = points.astype(np.float64) @ matrix[2, :2] + matrix[2, 2]
    if (depths * depths[0] <= 0).any():
        return False
    areas = np.linalg.det(matrix) / depths**3
    if not (areas > 0).all():
        return False
    scales = np.sqrt(areas) / enlarged
    smallest, largest = scales.min(), scales.max()
    within = smallest >= 1 / LARGEST_SCALE and largest <= LARGEST_SCALE
    return bool(within and largest <= LARGEST_SPREAD * smallest)


def _distinct_positions(points: Points, side: float) -> int:
    """Return the number of grid cells of that side with a point, so that points at one position count once."""
    cells = np.floor(points.astype(np.float64) / side).astype(np.int64)
    return len(set(map(tuple, cells.tolist())))


def _box(matrix: Matrix, frame: Box, found: Box, inliers: Points) -> Box:
    """Return the bounding box of the part of the query's frame that lies within the candidate.

    If a corner of the frame is behind the camera, or no part of the frame lies within the image, it is the bounding
    box of the inliers.
    """
    corners = _corners(frame)
    depths = corners @ matrix[2, :2] + matrix[2, 2]
    inside = inliers
    if (depths * depths[0] > 0).all():
        seen = clipped((corners @ matrix[:2, :2].T + matrix[:2, 2]) / depths[:, None], found)
        inside = seen.astype(np.float32) if len(seen) else inliers
    # The intersection may lie outside by a rounding error, and -1e-16 is not the edge of an image.
    (x0, y0), (x1, y1) = (
        np.clip(edge, found[:2], found[2:]).tolist() for edge in (inside.min(axis=0), inside.max(axis=0))
    )
    return x0, y0, x1, y1


def _corners(frame: Box) -> Matrix:
    x0, y0, x1, y1 = frame
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)
