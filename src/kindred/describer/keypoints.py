"""KeypointExtractor: local features of keypoints, to be embedded, in place of a network (backbone = "sift")."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.describer.ahead import prepared_ahead
from kindred.describer.description import Description, ImageInfo, RawFeatures
from kindred.describer.local import LocalFeatureExtractor, check_keypoint_options, keypoints, label
from kindred.errors import ImageError, RecipeError
from kindred.features.sift import DIMENSION
from kindred.images import decode
from kindred.recipe import Recipe, changed

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["KEYPOINTS", "KeypointExtractor"]

T = TypeVar("T")

KEYPOINTS = ("sift",)
"""The backbones that are keypoint detectors, not networks."""

IDLE = ("tap_weights", "shape", "multiple", "scales", "flip")
"""The keys of a recipe that have an effect with a network only."""


class KeypointExtractor:
    """Extracts keypoint descriptors, float32 and not normalised, as the rows of an image.

    Raises `RecipeError` if the recipe uses keys that need a network.
    """

    def __init__(self, recipe: Recipe, *, workers: int, max_pixels: int | None) -> None:
        if not recipe.embedding or recipe.passes != "whole" or len(recipe.taps) > 0:
            raise RecipeError(
                f"recipe {recipe.name!r}: backbone {recipe.backbone!r} extracts keypoints, which pooling, taps and "
                "passes do not apply to; name an embedding, and no taps or passes"
            )
        if idle := changed(recipe, IDLE):
            raise RecipeError(f"recipe {recipe.name!r}: {idle[0]} has no effect on {recipe.backbone!r}; leave it out")
        check_keypoint_options(recipe)
        self.recipe, self._workers = recipe, workers
        self._local_features = LocalFeatureExtractor(recipe)
        self._limits = {} if max_pixels is None else {"max_pixels": max_pixels}

    @property
    def depends_on(self) -> list[object]:
        """The name of the detector."""
        return [self.recipe.backbone]

    @property
    def identity(self) -> dict[str, object]:
        """The name of the detector."""
        return {"backbone": self.recipe.backbone}

    @property
    def runs_on(self) -> str:
        """Always the CPU: OpenCV's SIFT has no other implementation here."""
        return "in f32 on cpu"

    def sample(self) -> RawFeatures[None]:
        """Return some descriptors of random values."""
        rows = np.random.default_rng(0).random((32, DIMENSION), np.float32)
        info = ImageInfo("<sample>", self.recipe.size, self.recipe.size)
        return RawFeatures(None, info, (rows,), np.zeros(len(rows), np.int64), np.empty((0, 4), np.float32))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Extract the keypoint descriptors of a few images."""
        for key, image in items:
            yield self._with_key(key, self._extract(image, is_query=is_query))

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Extract the keypoint descriptors of any number of images, on threads: OpenCV releases the GIL."""
        with closing(prepared_ahead(items, partial(self._extract, is_query=is_query), workers=self._workers)) as ahead:
            for key, found in ahead:
                yield [Description(key, error=found) if isinstance(found, ImageError) else self._with_key(key, found)]

    def _extract(self, image: ImageLike, *, is_query: bool) -> RawFeatures[None]:
        decoded = decode(image, longest=max(self.recipe.size, self._local_features.longest), **self._limits)
        features = keypoints(self.recipe, decoded)
        rows = features.descriptors.astype(np.float32)
        info = ImageInfo(label(image), decoded.width, decoded.height, decoded.taken, decoded.frames, decoded.frame)
        no_boxes = np.empty((0, 4), np.float32)
        levels = np.zeros(len(rows), np.int64)
        stored = self._local_features.extract(decoded, is_query=is_query)
        return RawFeatures(None, info, (rows,), levels, no_boxes, features=stored)

    def _with_key(self, key: T, found: RawFeatures[None]) -> RawFeatures[T]:
        return RawFeatures(key, found.info, found.rows, found.levels, found.boxes, features=found.features)
