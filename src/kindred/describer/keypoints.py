"""KeypointExtractor: local features in place of a network's positions, for the embeddings (backbone = "sift")."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.describer.ahead import prepared_ahead
from kindred.describer.description import Description, Facts, RawFeatures
from kindred.describer.local import KeptFeatures, check_keypoint_options, keypoints, label
from kindred.errors import ImageError, RecipeError
from kindred.features.sift import DIMENSION
from kindred.images import decode
from kindred.recipe import Recipe, changed

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["KEYPOINTS", "KeypointExtractor"]

T = TypeVar("T")

KEYPOINTS = ("sift",)
"""The backbones that are no network."""

IDLE = ("tap_weights", "shape", "multiple", "scales", "flip")
"""The keys of a recipe that mean something to a network only."""


class KeypointExtractor:
    """Finds the keypoints of images; rows are their descriptors, float32, as found.

    Raises `RecipeError` where the recipe asks for what only a network does.
    """

    def __init__(self, recipe: Recipe, *, workers: int, max_pixels: int | None) -> None:
        if not recipe.embedding or recipe.passes != "whole" or len(recipe.taps) > 0:
            raise RecipeError(
                f"recipe {recipe.name!r}: backbone {recipe.backbone!r} finds keypoints, which are neither pooled nor "
                "looked at in passes; name an embedding, and no taps or passes"
            )
        if idle := changed(recipe, IDLE):
            raise RecipeError(f"recipe {recipe.name!r}: {idle[0]} has no effect on {recipe.backbone!r}; leave it out")
        check_keypoint_options(recipe)
        self.recipe, self._workers = recipe, workers
        self._kept = KeptFeatures(recipe)
        self._limits = {} if max_pixels is None else {"max_pixels": max_pixels}

    @property
    def depends_on(self) -> list[object]:
        """Nothing but its name."""
        return [self.recipe.backbone]

    @property
    def identity(self) -> dict[str, object]:
        """Its name."""
        return {"backbone": self.recipe.backbone}

    @property
    def runs_on(self) -> str:
        """OpenCV knows only the CPU here."""
        return "in f32 on cpu"

    def sample(self) -> RawFeatures[None]:
        """Return some descriptors of any values."""
        rows = np.random.default_rng(0).random((32, DIMENSION), np.float32)
        facts = Facts("<sample>", self.recipe.size, self.recipe.size)
        return RawFeatures(None, facts, (rows,), np.zeros(len(rows), np.int64), np.empty((0, 4), np.float32))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Look at few images."""
        for key, image in items:
            yield self._seen(key, self._look(image, is_query=is_query))

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Look at any number of images on threads: OpenCV works outside Python's lock."""
        with closing(prepared_ahead(items, partial(self._look, is_query=is_query), workers=self._workers)) as ahead:
            for key, found in ahead:
                yield [Description(key, error=found) if isinstance(found, ImageError) else self._seen(key, found)]

    def _look(self, image: ImageLike, *, is_query: bool) -> RawFeatures[None]:
        decoded = decode(image, longest=max(self.recipe.size, self._kept.longest), **self._limits)
        features = keypoints(self.recipe, decoded)
        rows = features.descriptors.astype(np.float32)
        facts = Facts(label(image), decoded.width, decoded.height, decoded.taken, decoded.frames, decoded.frame)
        nowhere = np.empty((0, 4), np.float32)
        levels = np.zeros(len(rows), np.int64)
        return RawFeatures(None, facts, (rows,), levels, nowhere, features=self._kept.of(decoded, is_query=is_query))

    def _seen(self, key: T, found: RawFeatures[None]) -> RawFeatures[T]:
        return RawFeatures(key, found.facts, found.rows, found.levels, found.boxes, features=found.features)
