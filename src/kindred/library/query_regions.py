"""The regions of a query, searched where the query as a whole gives no sure result: for several or small objects.

An object that is small in the images of the library is found by the query reduced, on a plain ground, as networks are
hardly invariant to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import LINE
from kindred.describer import Describer
from kindred.images import ImageLike, crop, decode, resize
from kindred.library.query import DescribedQuery, as_query
from kindred.ranking import Ranking
from kindred.regions import Box

__all__ = ["describe_regions", "is_sure", "reduced", "region_boxes", "union_of"]

SHARE = 0.6
"""Width and height of a region, as a share of those of the query."""
SMALLEST = 64
"""A region with a shorter side of fewer pixels is not searched: it has too few details to be recognised by."""

REDUCED = 0.4
"""Width and height of the query on the plain ground, as a share of the whole."""


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


def reduced(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Box]:
    """Return an image (H, W, 3) in the middle of a ground of its mean colour, larger than it, and its box there.

    >>> reduced(np.zeros((40, 80, 3), np.uint8))[1]
    (60.0, 30.0, 140.0, 70.0)
    """
    height, width = pixels.shape[:2]
    ground = np.empty((round(height / REDUCED), round(width / REDUCED), 3), np.uint8)
    ground[:] = pixels.mean(axis=(0, 1)).astype(np.uint8)
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    ground[top : top + height, left : left + width] = pixels
    return ground, (float(left), float(top), float(left + width), float(top + height))


def describe_regions(image: ImageLike, describer: Describer, *, with_reduced: bool = False) -> list[DescribedQuery]:
    """Describe the regions of a query image, each as a query; those that cannot be described are left out.

    With `with_reduced`, for searches that compare local features, the last one is the whole query, reduced.
    """
    pixels = decode(image).pixels
    parts = [crop(pixels, box) for box in region_boxes(pixels.shape[1], pixels.shape[0])]
    frame: Box | None = None
    if with_reduced:
        smaller, frame = reduced(resize(pixels, longest=describer.recipe.size))
        parts.append(smaller)
    described = describer.stream(enumerate(parts), is_query=True)
    ordered = sorted((each for each in described if each.error is None), key=lambda each: each.key)
    found = [each for each in ordered if each.vectors is not None and len(each.vectors)]
    # A region is small because of the part that it shows, not for want of pixels.
    queries = [replace(as_query(each, parts[each.key], describer), small=None) for each in found]
    if frame is not None and found and found[-1].key == len(parts) - 1 and queries[-1].features is not None:
        # The box of what matches is that of the query, not of the ground.
        queries[-1] = replace(queries[-1], features=replace(queries[-1].features, frame=frame))
    return queries


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
