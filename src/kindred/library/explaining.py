"""Why an image was found: the points in which it agrees with the query, or the parts of both that are alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.features import ConvMap, LocalFeatures, Matcher
from kindred.images import as_image, decode
from kindred.library.example_search import ExampleSearching
from kindred.library.examples import Example
from kindred.library.query import DescribedQuery, names_image
from kindred.library.stored_query import stored_query
from kindred.store import Row

if TYPE_CHECKING:
    from kindred.rerank.verification import Agreement

__all__ = ["AgreeingPoints", "AlikeParts", "Explaining", "Explanation", "alike_parts"]

FEWEST = 4
"""The fewest points that are shown: fewer determine no change of view."""


@dataclass(frozen=True, eq=False)
class AgreeingPoints:
    """The keypoints of query and image that agree with one change of view.

    points: (n, 4) x y in the query and x y in the image, in pixels of the upright originals. inliers: their number,
    those at one position counted once. homography: (3, 3), from the query to the image. Sizes are width and height of
    the originals.
    """

    query_size: tuple[int, int]
    image_size: tuple[int, int]
    points: NDArray[np.float32]
    inliers: int
    homography: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AlikeParts:
    """How alike each part of one image is to the most similar part of the other: cosines in [0, 1], (rows, columns).

    query, image: of the feature maps of the two whole images, or of the part of the query that was searched with.
    """

    query: NDArray[np.float32]
    image: NDArray[np.float32]


Explanation = AgreeingPoints | AlikeParts


class Explaining(ExampleSearching):
    """The method of a library that says why an image was found."""

    def explain(self, query: Example, image: str) -> Explanation:
        """Say in what an image of the library, given by id, agrees with a query.

        The points of local features that agree with one change of view, if the recipe stores local features and enough
        of them agree; otherwise how alike the parts of the feature maps are. Raises `UsageError` if neither is
        possible: for a vector, or a recipe without one network; `ImageError` if a file cannot be used.
        """
        row = self.store.by_uid([image]).get(image)
        if row is None:
            raise UsageError(f"explain: {image} is not the id of an image of this library")
        described = self.describe_example(query).looked_at_all()
        if described.features is not None and not self.recipe.multi_vector:
            stored = stored_query(self.store, self.recipe, image).features
            found = _agreeing(described.features, stored, self.matcher)
            if found is not None:
                return self._placed(found, query, row)
        if described.map_of is None:
            described = self._with_maps(query)
        assert described.map_of is not None
        return alike_parts(described.map_of(None), described.map_of(row.path))

    def _placed(self, found: Agreement, query: Example, row: Row) -> AgreeingPoints:
        """Return agreeing points in pixels of the whole query, of which a part was described as an image of its own."""
        box = query.box
        corner = (0, 0) if box is None else (max(0, round(box[0])), max(0, round(box[1])))
        back = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]], np.float64)
        points = np.concatenate((found.ours + np.array(corner, np.float32), found.theirs), axis=1)
        size = row.width or 0, row.height or 0
        return AgreeingPoints(self._size_of(query), size, points, found.match.inliers, found.matrix @ back)

    def _size_of(self, query: Example) -> tuple[int, int]:
        """Return the width and height of the image of a query."""
        if names_image(query.query):
            row = self.store.by_uid([query.query])[query.query]
            return row.width or 0, row.height or 0
        decoded = decode(as_image(query.query), longest=1)
        return decoded.width, decoded.height

    def _with_maps(self, query: Example) -> DescribedQuery:
        """Describe the image of a query from its file, since what is stored of it has no feature map."""
        found = self.store.by_uid([query.query]) if isinstance(query.query, str) else {}
        if isinstance(query.query, str) and query.query in found:
            return self.describe_example(replace(query, query=found[query.query].path))
        raise UsageError("explain: a vector cannot be explained; give an image")


def alike_parts(query: ConvMap, image: ConvMap) -> AlikeParts:
    """Compare every cell of one feature map with every cell of the other, by the cosine of their channels."""
    ours, theirs = _cells(query), _cells(image)
    cosines = np.clip(ours @ theirs.T, 0, 1)
    shapes = query.values.shape[1:], image.values.shape[1:]
    return AlikeParts(
        cosines.max(axis=1).reshape(shapes[0]).astype(np.float32),
        cosines.max(axis=0).reshape(shapes[1]).astype(np.float32),
    )


def _cells(map_: ConvMap) -> Vectors:
    """Return the cells of a map (C, H, W) as unit vectors (H × W, C)."""
    return l2_normalise(np.ascontiguousarray(map_.values.reshape(len(map_.values), -1).T, np.float32))


def _agreeing(query: LocalFeatures, image: LocalFeatures | None, matcher: Matcher | None) -> Agreement | None:
    from kindred.rerank.verification import agreement  # loaded late: most searches explain nothing

    return None if image is None else agreement(query, image, minimum=FEWEST, matcher=matcher)
