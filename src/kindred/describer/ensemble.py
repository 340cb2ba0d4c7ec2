"""EnsembleExtractor: the vectors of several recipes, concatenated (early fusion)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.arrays import Vectors
from kindred.describer.description import Description, ImageInfo, RawFeatures
from kindred.describer.fitted import fit_record
from kindred.describer.local import label
from kindred.fusion import concatenate
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.describer.describer import Describer
    from kindred.images import ImageLike

__all__ = ["EnsembleExtractor"]

T = TypeVar("T")

CHUNK = 512
"""Number of images that every recipe describes before the next chunk."""


class EnsembleExtractor:
    """Describes every image by each recipe of an ensemble in turn; each describer decodes the image itself."""

    def __init__(self, recipe: Recipe, describers: Sequence[Describer]) -> None:
        self.recipe, self.ensemble = recipe, describers

    @property
    def depends_on(self) -> list[object]:
        """The fingerprint and weight of each recipe."""
        return [[part.fingerprint, float(part.recipe.weight)] for part in self.ensemble]

    @property
    def identity(self) -> dict[str, object]:
        """The network and methods of each recipe, without image size and passes; its dimension and weight."""
        return {
            "ensemble": [
                [fit_record(part.recipe, "code", part.extractor.identity), part.dimension, float(part.recipe.weight)]
                for part in self.ensemble
            ]
        }

    @property
    def runs_on(self) -> str:
        """The number formats and devices of all recipes."""
        return ", ".join(dict.fromkeys(part.extractor.runs_on for part in self.ensemble))

    def sample(self) -> RawFeatures[None]:
        """Return a concatenated vector of random values."""
        width = sum(part.dimension for part in self.ensemble)
        whole = np.full((1, 4), np.nan, np.float32)
        row = np.random.default_rng(0).random((1, width), np.float32)
        return RawFeatures(None, ImageInfo("<sample>", 1, 1), (row,), np.zeros(1, np.int64), whole)

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Yield the concatenated vectors of a few images."""
        for key, image in items:
            parts = [next(part.one_by_one([(key, image)], is_query=is_query)) for part in self.ensemble]
            for part in parts:
                if part.error is not None:
                    raise part.error
            yield self._fused(key, image, parts)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Yield the concatenated vectors of any number of images, chunk by chunk."""
        remaining = iter(items)
        while chunk := list(islice(remaining, CHUNK)):
            numbered = [(number, image) for number, (_, image) in enumerate(chunk)]
            found = [{each.key: each for each in part.stream(numbered, is_query=is_query)} for part in self.ensemble]
            done: list[RawFeatures[T] | Description[T]] = []
            for number, (key, image) in enumerate(chunk):
                parts = [by_number[number] for by_number in found]
                failed = next((each.error for each in parts if each.error is not None), None)
                done.append(Description(key, error=failed) if failed is not None else self._fused(key, image, parts))
            yield done

    def _fused(
        self, key: T, image: ImageLike, parts: Sequence[Description[int]] | Sequence[Description[T]]
    ) -> RawFeatures[T]:
        rows: list[Vectors] = [each.vectors for each in parts if each.vectors is not None]
        fused = concatenate(rows, weights=[part.recipe.weight for part in self.ensemble])
        first = parts[0]
        info = ImageInfo(label(image), first.width or 0, first.height or 0, first.taken, first.frames, first.frame)
        whole = np.full((1, 4), np.nan, np.float32)
        passes = sum(round(part.passes) for part in self.ensemble)
        features = next((each.features for each in parts if each.features is not None), None)
        return RawFeatures(key, info, (fused,), np.zeros(1, np.int64), whole, passes=passes, features=features)
