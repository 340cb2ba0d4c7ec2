"""Approximate max-pooling localisation (AML): find the box of a candidate's feature map most similar to the query.

The maximum over any box is approximated with four look-ups in an integral image of x^exponent: the sum over the box
to the power of 1 / exponent (Tolias, Sicre and Jégou 2016). Boxes on a coarse grid are compared first, then the sides
of the best box are refined by coordinate descent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_positive, check_whole, l2_normalise
from kindred.errors import UsageError
from kindred.features import ConvMap
from kindred.ranking import Ranking
from kindred.regions import Box, Boxes
from kindred.rerank.context import Context
from kindred.rerank.shortlist import Reranked, compose, result_ids
from kindred.rerank.verification import matched_boxes

__all__ = ["IntegralMap", "coarse_boxes", "localise", "most_similar_box", "quantised", "refined"]

NOISE = 1e-13
"""Rounding errors of differences in an integral image, as a fraction of a channel's largest power."""


def localise(
    ranking: Ranking,
    context: Context,
    *,
    depth: int = 100,
    exponent: float = 10.0,
    step: int = 3,
    aspect: float = 1.1,
    refinements: int = 5,
    quantise: bool = False,
) -> Ranking:
    """Re-rank the first `depth` results by the similarity of their best box to the query, and return these boxes.

    Query and boxes are described by the maximum of each channel (MAC); the score is their cosine, and the results
    beyond `depth` follow; an image that cannot be read scores 0 and gets no box. The options are those of
    `most_similar_box`; with `quantise` all responses are first `quantised`, as the authors do for VGG16. Boxes are in
    pixels of the upright original; beyond `depth` they are unchanged, or NaN if the ranking had none.

    Source: Tolias, Sicre and Jégou 2016. Raises UsageError if the context has no feature maps, or if maps differ in
    their number of channels.
    """
    check_whole(depth=depth)
    if context.query_maps is None or context.image_maps is None:
        raise UsageError("localisation compares feature maps, and the context has none: set query_maps and image_maps")
    reranked: list[Reranked] = []
    boxes: list[dict[int, Box]] = []
    for number in range(len(ranking)):
        query = _given(context.query_maps(number), quantise=quantise)
        ids = result_ids(ranking, number, limit=depth)
        scores = np.empty(len(ids), np.float32)
        found: dict[int, Box] = {}
        for place, candidate in enumerate(ids.tolist()):
            map_ = context.image_maps(candidate)
            if map_ is None:
                scores[place] = 0
                continue
            image = _given(map_, quantise=quantise)
            scores[place], cells = most_similar_box(
                query, image, exponent=exponent, step=step, aspect=aspect, refinements=refinements
            )
            found[candidate] = _in_pixels(cells, image)
        order = np.argsort(-scores, kind="stable")
        reranked.append((ids[order], scores[order]))
        boxes.append(found)
    return matched_boxes(compose(ranking, reranked), boxes)


def most_similar_box(
    query: ConvMap,
    image: ConvMap,
    *,
    exponent: float = 10.0,
    step: int = 3,
    aspect: float = 1.1,
    refinements: int = 5,
) -> tuple[float, NDArray[np.int64]]:
    """Return the largest cosine found between the query's maxima and those of a box in an image, and that box (4,).

    The box is x0 y0 x1 y1 in cells, half-open. The boxes of `coarse_boxes`, whose aspect ratio is within a factor
    `aspect` of the query's, are compared first; the best one is `refined` at most `refinements` times, by up to
    `step` cells per side. `exponent` is that of the approximate maximum: the larger, the more exact. Raises
    UsageError for options out of range (`aspect` is at least 1).
    """
    check_whole(step=step)
    check_positive(exponent=exponent, aspect=aspect)
    if aspect < 1 or refinements < 0:
        raise UsageError(f"got aspect {aspect} and refinements {refinements}; expected at least 1 and at least 0")
    if len(query.values) != len(image.values):
        raise UsageError(f"got maps of {len(query.values)} and {len(image.values)} channels; expected as many")
    wanted = l2_normalise(np.maximum(query.values, 0).max(axis=(1, 2)).astype(np.float32))
    integral = IntegralMap.of(image.values, exponent)
    width, height = image.values.shape[2], image.values.shape[1]
    boxes = coarse_boxes(width, height, step=step, shape=query.values.shape[2] / query.values.shape[1], aspect=aspect)
    scores = integral.similarities(boxes, wanted)
    best = int(scores.argmax())
    return refined(integral, wanted, boxes[best], float(scores[best]), step=step, refinements=refinements)


@dataclass(frozen=True, eq=False)
class IntegralMap:
    """The integral image of the powers of a map, for approximate maxima of boxes.

    sums: (H + 1, W + 1, C) float64, of (x / peak)^exponent over all cells above and to the left. peaks: (C,), the
    largest value of each channel, factored out so that powers neither underflow nor overflow.
    """

    sums: NDArray[np.float64]
    peaks: NDArray[np.float32]
    exponent: float

    @classmethod
    def of(cls, values: NDArray[np.float32], exponent: float) -> IntegralMap:
        """Compute the integral image of a map (C, H, W); negative values count as 0."""
        positive = np.maximum(np.moveaxis(values, 0, -1), 0).astype(np.float64, order="C")
        peaks = positive.max(axis=(0, 1))
        positive /= np.where(peaks > 0, peaks, 1)
        sums = np.zeros((values.shape[1] + 1, values.shape[2] + 1, len(values)))
        inside = sums[1:, 1:]
        inside[:] = _power(positive, exponent)
        np.cumsum(inside, axis=0, out=inside)
        np.cumsum(inside, axis=1, out=inside)
        return cls(sums, peaks.astype(np.float32), exponent)

    def maxima(self, boxes: Boxes) -> NDArray[np.float32]:
        """Return (Σ x^exponent)^(1 / exponent) of every channel in boxes (R, 4): (R, C), at least the maximum.

        A response below a twentieth of its channel's peak counts as 0: it is below the rounding error of the sums.
        """
        x0, y0, x1, y1 = boxes.T
        inside = self.sums[y1, x1] - self.sums[y0, x1] - self.sums[y1, x0] + self.sums[y0, x0]
        powers = np.where(inside > NOISE, inside, 0).astype(np.float32)
        maxima: NDArray[np.float32] = np.power(powers, np.float32(1 / self.exponent))
        maxima *= self.peaks
        return maxima

    def similarities(self, boxes: Boxes, wanted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine (R,) of boxes (R, 4) and a unit vector (C,); 0 for a box without any response."""
        maxima = self.maxima(boxes)
        norms: NDArray[np.float32] = np.sqrt(np.einsum("rc,rc->r", maxima, maxima))
        cosines: NDArray[np.float32] = np.divide(maxima @ wanted, np.where(norms > 0, norms, np.float32(1)))
        return cosines


def coarse_boxes(width: int, height: int, *, step: int, shape: float, aspect: float) -> Boxes:
    """Return the boxes (R, 4) of a map whose sides lie on every `step`-th grid line, or on the last.

    Their ratio of width to height is within a factor `aspect` of `shape`; if no box is, those nearest to it.
    """
    xs, ys = (np.unique([*range(0, side, step), side]) for side in (width, height))
    spans = [[(a, b) for a, b in product(lines.tolist(), repeat=2) if a < b] for lines in (xs, ys)]
    boxes = np.array([(x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(spans[1], spans[0])], np.int64)
    misses = np.abs(np.log((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]) / shape))
    tolerance = max(np.log(aspect), misses.min()) + 1e-9  # exactly a factor of `aspect` is within it
    near: Boxes = boxes[misses <= tolerance]
    return near


def refined(
    integral: IntegralMap,
    wanted: NDArray[np.float32],
    box: NDArray[np.int64],
    score: float,
    *,
    step: int,
    refinements: int,
) -> tuple[float, NDArray[np.int64]]:
    """Move the sides of a box one after another, each to where the cosine is largest; return cosine and box.

    A side moves by at most `step` cells at a time; it stops after `refinements` rounds, or one without a change.
    """
    limits = (integral.sums.shape[1] - 1, integral.sums.shape[0] - 1) * 2
    for _ in range(refinements):
        before = score
        for side in range(4):
            moved = np.repeat(box[None], 2 * step + 1, axis=0)
            moved[:, side] += np.arange(-step, step + 1)
            inside = (moved[:, side] >= 0) & (moved[:, side] <= limits[side])
            moved = moved[inside & (moved[:, 0] < moved[:, 2]) & (moved[:, 1] < moved[:, 3])]
            scores = integral.similarities(moved, wanted)
            best = int(scores.argmax())
            if scores[best] > score:
                box, score = moved[best], float(scores[best])
        if score == before:
            break
    return score, box


def quantised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantise responses to ⌊(15 + min(x, 128)) / 16⌋, 0 to 8, as suits the range of values of VGG16."""
    return np.floor((15 + np.minimum(np.maximum(values, 0), 128)) / 16).astype(np.float32)


def _power(x: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return x^exponent; for an integer exponent by repeated squaring, in a tenth of the time."""
    if exponent != int(exponent):
        return np.power(x, exponent)
    result, rest = np.ones_like(x), int(exponent)
    while rest:
        if rest % 2:
            result *= x
        x, rest = x * x, rest // 2
    return result


def _given(map_: ConvMap, *, quantise: bool) -> ConvMap:
    """Return the map, quantised if wanted."""
    return ConvMap(quantised(map_.values), map_.frame) if quantise else map_


def _in_pixels(box: NDArray[np.int64], image: ConvMap) -> Box:
    """Return a box of cells in pixels of the upright original."""
    (width, height), (left, top) = image.cell, image.frame[:2]
    x0, y0, x1, y1 = box.tolist()
    return left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height
