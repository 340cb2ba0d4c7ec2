"""The regions of an image that is a query, each searched for as a query: for several or small objects.

Five large ones are looked at as closely as the whole, but compared with fewer candidates. Small ones, a grid over the
image, are only described, and so is its centre where the large ones are not searched for: what is photographed is
mostly there, and smaller than in an image of the library. An object that is small in the images of the library is found
by the query reduced, on a plain ground, as networks are hardly invariant to scale. Where results have probabilities,
regions only add what is probably the same thing: what a small region shows alone, such as a piece of sky, resembles
many images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import LINE
from kindred.describer import Describer
from kindred.errors import ImageError
from kindred.images import ImageLike, crop, decode, resize
from kindred.images.frames import is_uniform
from kindred.library.query import DescribedQuery, as_query
from kindred.ranking import Ranking
from kindred.regions import Box

__all__ = [
    "described_regions",
    "joined",
    "large_boxes",
    "needs_regions",
    "reduced",
    "small_boxes",
    "union_of",
    "with_regions",
]

LARGE = 0.6
"""Width and height of a large region, as a share of those of the query."""
ACROSS = 5
"""Small regions in each row and column: an object of an eighth of the width is whole in one of them."""
APART = 7 / 12
"""How far apart neighbours in a grid begin, as a share of a region: five across are each 0.3 of the whole."""
PANORAMA, SHAPE = 2.0, 1.5
"""An image whose longer side is more than PANORAMA times its shorter one has a grid of regions of about SHAPE to 1."""
SMALLEST = 64
"""A region with a shorter side of fewer pixels is not searched: it has too few details to be recognised by."""
ENOUGH = 16
"""Times the size of the recipe to which the longer side of a larger query is reduced: small regions, also those of a
panorama 15 times as wide as high, still have that size."""
REDUCED = 0.4
"""Width and height of the query on the plain ground, as a share of the whole."""


def with_regions(
    ranking: Ranking,
    query: DescribedQuery,
    describer: Callable[[], Describer],
    ranked: Callable[[DescribedQuery], Ranking],
    *,
    regions: bool | None,
    calibrated: bool,
) -> Ranking:
    """Return the results of a query joined with those of its regions, each image with the best of its scores.

    `ranked` returns those of one region. regions: false for none, None for small ones and the centre where no result
    of the query is probable. calibrated: whether results have probabilities; only then are small regions and the query
    reduced searched for, and only probable results are joined.
    """
    if query.image is None or not needs_regions(ranking, regions):
        return ranking
    try:
        parts = described_regions(query.image, describer(), regions=regions, calibrated=calibrated)
    except ImageError:  # the file of an image of the library, which is searched for by what is stored of it
        if query.own is None:
            raise
        return ranking
    return joined(ranking, map(ranked, parts), calibrated=calibrated)


def needs_regions(ranking: Ranking, regions: bool | None) -> bool:
    """Return whether the regions of a query with these results are searched for; `regions` as in `with_regions`."""
    # Where no image is admitted, none is, whatever part is searched for.
    return bool((ranking.ids >= 0).any()) and (_is_unanswered(ranking) if regions is None else regions)


def described_regions(
    image: ImageLike, describer: Describer, *, regions: bool | None, calibrated: bool
) -> list[DescribedQuery]:
    """Describe the regions of an image that are searched for, each as a query; other arguments as in `with_regions`.

    There are none if all parts of the image are the same, or too small. Raises ImageError if it cannot be decoded.
    """
    pixels = decode(image, longest=ENOUGH * describer.recipe.size).pixels
    if is_uniform(pixels):
        return []
    height, width = pixels.shape[:2]
    parts = _large(_described(pixels, large_boxes(width, height), describer)) if regions else []
    if calibrated:
        small = _described(pixels, small_boxes(width, height), describer, lazy=True)
        if small and not regions:
            parts += _large(_described(pixels, centre_boxes(width, height), describer, lazy=True))
        parts += small
        parts += _reduced_query(pixels, describer) if regions else []
    return [replace(each, one_of=len(parts)) for each in parts]


def joined(ranking: Ranking, found: Iterable[Ranking], *, calibrated: bool) -> Ranking:
    """Return the results of a query joined with those found of its regions, only probable ones if `calibrated`."""
    more = [_probable(each) if calibrated else each for each in found]
    return union_of([ranking, *more]) if any(each.ids.size for each in more) else ranking


def _is_unanswered(ranking: Ranking) -> bool:
    """Return whether results have probabilities and none is probable."""
    return ranking.probabilities is not None and not bool((ranking.probabilities >= LINE).any())


def large_boxes(width: int, height: int) -> list[Box]:
    """Return overlapping regions of an image of this size: at its corners and in its centre; of a panorama, in a row.

    >>> large_boxes(200, 300)[0], large_boxes(200, 300)[-1]
    ((0.0, 0.0, 120.0, 180.0), (40.0, 60.0, 160.0, 240.0))
    """
    if _is_panorama(width, height):
        return _grid(width, height, *((1, ACROSS) if width > height else (ACROSS, 1)))
    corners = _grid(width, height, 2, 2, share=LARGE)
    x, y = (1 - LARGE) / 2 * width, (1 - LARGE) / 2 * height
    return corners and [*corners, (x, y, x + LARGE * width, y + LARGE * height)]


def centre_boxes(width: int, height: int) -> list[Box]:
    """Return the large region in the centre of an image of this size; [] of a panorama, whose regions are in a row.

    >>> centre_boxes(200, 300)
    [(40.0, 60.0, 160.0, 240.0)]
    """
    return [] if _is_panorama(width, height) else large_boxes(width, height)[-1:]


def small_boxes(width: int, height: int) -> list[Box]:
    """Return a grid of overlapping regions of an image of this size, row by row; for a panorama in fewer rows.

    >>> small_boxes(1000, 800)[1], len(small_boxes(1000, 800))
    ((175.0, 0.0, 475.0, 240.0), 25)
    """
    if not _is_panorama(width, height):
        return _grid(width, height, ACROSS, ACROSS)
    fewer = max(1, int(ACROSS * math.sqrt(SHAPE * min(width, height) / max(width, height))))
    more = ACROSS**2 // fewer
    return _grid(width, height, *((fewer, more) if width > height else (more, fewer)))


def _is_panorama(width: int, height: int) -> bool:
    return max(width, height) > PANORAMA * min(width, height)


def _grid(width: int, height: int, rows: int, columns: int, *, share: float | None = None) -> list[Box]:
    """Return regions of an image in rows and columns; [] if they are too small.

    share: their width and height as a share of those of the image; None: neighbours begin APART of a region apart.
    """
    wide, high = (
        side * (1 / (1 + APART * (count - 1)) if share is None else share)
        for side, count in ((width, columns), (height, rows))
    )
    if min(wide, high) < SMALLEST:
        return []
    lefts = np.linspace(0, width - wide, columns).tolist()
    tops = np.linspace(0, height - high, rows).tolist()
    return [(x, y, x + wide, y + high) for y in tops for x in lefts]


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


def _described(
    pixels: NDArray[np.uint8], boxes: Sequence[Box], describer: Describer, *, lazy: bool = False
) -> list[DescribedQuery]:
    """Describe regions of an image, each as a query, `lazy` ones by one pass; what cannot be described is left out."""
    parts = [crop(pixels, box) for box in boxes]
    described = describer.stream(enumerate(parts), is_query=True, lazy=lazy)
    ordered = sorted((each for each in described if each.error is None), key=lambda each: each.key)
    found = [each for each in ordered if each.vectors is not None and len(each.vectors)]
    queries = [as_query(each, parts[each.key], describer) for each in found]
    # A region is small because of the part that it shows, not for want of pixels.
    return [replace(each, small=None, again=None) for each in queries]


def _large(parts: Sequence[DescribedQuery]) -> list[DescribedQuery]:
    """Return large regions, marked as such."""
    return [replace(each, is_large=True) for each in parts]


def _reduced_query(pixels: NDArray[np.uint8], describer: Describer) -> list[DescribedQuery]:
    """Describe a query reduced, on a plain ground; [] if it cannot be or has no local features."""
    smaller, frame = reduced(resize(pixels, longest=describer.recipe.size))
    height, width = smaller.shape[:2]
    found = _described(smaller, [(0.0, 0.0, float(width), float(height))], describer)
    # The box of what matches is that of the query, not of the ground.
    return [replace(each, features=replace(each.features, frame=frame)) for each in found if each.features is not None]


def _probable(ranking: Ranking) -> Ranking:
    """Return the results of one query that probably show the same thing."""
    if ranking.probabilities is None:
        return ranking.top(0)
    here = ranking.probabilities[0] >= LINE
    boxes = None if ranking.boxes is None else ranking.boxes[:, here]
    return Ranking(ranking.ids[:, here], ranking.scores[:, here], boxes, ranking.probabilities[:, here])


def union_of(rankings: Sequence[Ranking]) -> Ranking:
    """Return the results of several rankings of one query, each image with its best score, and its box and probability.

    Of equal scores the earlier ranking counts; images with equal scores keep the order of the rankings.
    """
    best: dict[int, tuple[float, int, int]] = {}
    for number, ranking in enumerate(rankings):
        for at, (id_, score) in enumerate(zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), strict=True)):
            if id_ >= 0 and (id_ not in best or score > best[id_][0]):
                best[id_] = score, number, at
    order = sorted(best, key=lambda id_: (-best[id_][0], *best[id_][1:]))
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
