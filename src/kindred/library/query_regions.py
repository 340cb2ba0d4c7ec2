"""The regions of a query, searched where the query as a whole gives no sure result: for several or small objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kindred.calibration import LINE
from kindred.describer import Describer
from kindred.images import ImageLike, crop, decode
from kindred.library.query import DescribedQuery, as_query
from kindred.ranking import Ranking
from kindred.regions import Box

__all__ = ["describe_regions", "is_sure", "region_boxes", "union_of"]

SHARE = 0.6
"""Width and height of a region, as a share of those of the query."""
SMALLEST = 64
"""A region with a shorter side of fewer pixels is not searched: it has too few details to be recognised by."""


def region_boxes(width: int, height: int) -> list[Box]:
    """Return overlapping regions of an image of this size: at its four corners and in its centre.

    >>> region_boxes(200, 300)[0], region_boxes(200, 300)[-1]
    ((0.0, 0.0, 120.0, 180.0), (40.0, 60.0, 160.0, 240.0))
    """
    wide, high = SHARE * width, SHARE * height
    if min(wide, high) < SMALLEST:
        return []
    corners = [(x, y) for y in (0.0, height - high) for x in (0.0, width - wide)]
    starts = [*corners, ((width - wide) / 2, (height - high) / 2)]
    return [(x, y, x + wide, y + high) for x, y in starts]


def describe_regions(image: ImageLike, describer: Describer) -> list[DescribedQuery]:
    """Describe the regions of a query image, each as a query; those that cannot be described are left out."""
    pixels = decode(image).pixels
    parts = [crop(pixels, box) for box in region_boxes(pixels.shape[1], pixels.shape[0])]
    described = describer.stream(enumerate(parts), is_query=True)
    ordered = sorted((each for each in described if each.error is None), key=lambda each: each.key)
    found = [each for each in ordered if each.vectors is not None and len(each.vectors)]
    # A region is small because of the part that it shows, not for want of pixels.
    return [replace(as_query(each, parts[each.key], describer), small=None) for each in found]


def is_sure(ranking: Ranking) -> bool:
    """Return whether a result of the first query probably shows the same thing; never without probabilities."""
    if ranking.probabilities is None:
        return False
    return bool((ranking.probabilities[0] >= LINE).any())


def union_of(rankings: Sequence[Ranking]) -> Ranking:
    """Return the results of several rankings of one query, each image with its best score, and its box and probability.

    Of equal scores the earlier ranking counts; equal scores of several images are ordered by id.
    """
    best: dict[int, tuple[float, int, int]] = {}
    for number, ranking in enumerate(rankings):
        for at, (id_, score) in enumerate(zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), strict=True)):
            if id_ >= 0 and (id_ not in best or score > best[id_][0]):
                best[id_] = score, number, at
    order = sorted(best, key=lambda id_: (-best[id_][0], id_))
    places = [best[id_][1:] for id_ in order]

    def gathered(
        name: str, missing: tuple[float, ...] | float
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
        arrays = [getattr(ranking, name) for ranking in rankings]
        if all(array is None for array in arrays):
            return None
        values = [missing if arrays[number] is None else arrays[number][0, at] for number, at in places]
        shape = (1, len(order), *np.shape(missing))
        return np.array(values, np.float32).reshape(shape)

    ids = np.array(order, np.int64).reshape(1, -1)
    scores = np.array([best[id_][0] for id_ in order], np.float32).reshape(1, -1)
    return Ranking(ids, scores, gathered("boxes", (np.nan,) * 4), gathered("probabilities", np.nan))
