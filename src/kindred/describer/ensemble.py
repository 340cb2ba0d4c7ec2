"""EnsembleExtractor: the vectors of several recipes, concatenated (early fusion)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.arrays import Vectors
from kindred.describer.description import Description, Facts, RawFeatures
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
"""Images that every part describes before the next chunk is begun."""


class EnsembleExtractor:
    """Describes every image by each part of a recipe in turn; every part decodes for itself."""

    def __init__(self, recipe: Recipe, parts: Sequence[Describer]) -> None:
        self.recipe, self.ensemble = recipe, parts

    @property
    def depends_on(self) -> list[object]:
        """The parts' own fingerprints and weights."""
        return [[part.fingerprint, float(part.recipe.weight)] for part in self.ensemble]

    @property
    def identity(self) -> dict[str, object]:
        """What each part is made of, but not at which size and in which passes; its dimension and weight."""
        return {
            "ensemble": [
                [fit_record(part.recipe, "code", part.extractor.identity), part.dimension, float(part.recipe.weight)]
                for part in self.ensemble
            ]
        }

    @property
    def runs_on(self) -> str:
        """Each part's own."""
        return ", ".join(dict.fromkeys(part.extractor.runs_on for part in self.ensemble))

    def sample(self) -> RawFeatures[None]:
        """Return a fused vector of any values."""
        width = sum(part.dimension for part in self.ensemble)
        whole = np.full((1, 4), np.nan, np.float32)
        row = np.random.default_rng(0).random((1, width), np.float32)
        return RawFeatures(None, Facts("<sample>", 1, 1), (row,), np.zeros(1, np.int64), whole)

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Look at few images."""
        for key, image in items:
            answers = [next(part.one_by_one([(key, image)], is_query=is_query)) for part in self.ensemble]
            for answer in answers:
                if answer.error is not None:
                    raise answer.error
            yield self._seen(key, image, answers)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Look at any number of images, a chunk at a time."""
        remaining = iter(items)
        while chunk := list(islice(remaining, CHUNK)):
            numbered = [(number, image) for number, (_, image) in enumerate(chunk)]
            found = [{each.key: each for each in part.stream(numbered, is_query=is_query)} for part in self.ensemble]
            done: list[RawFeatures[T] | Description[T]] = []
            for number, (key, image) in enumerate(chunk):
                answers = [by_number[number] for by_number in found]
                failed = next((each.error for each in answers if each.error is not None), None)
                done.append(Description(key, error=failed) if failed is not None else self._seen(key, image, answers))
            yield done

    def _seen(
        self, key: T, image: ImageLike, answers: Sequence[Description[int]] | Sequence[Description[T]]
    ) -> RawFeatures[T]:
        rows: list[Vectors] = [each.vectors for each in answers if each.vectors is not None]
        fused = concatenate(rows, weights=[part.recipe.weight for part in self.ensemble])
        first = answers[0]
        facts = Facts(label(image), first.width or 0, first.height or 0, first.taken, first.frames, first.frame)
        whole = np.full((1, 4), np.nan, np.float32)
        passes = sum(round(part.passes) for part in self.ensemble)
        features = next((each.features for each in answers if each.features is not None), None)
        return RawFeatures(key, facts, (fused,), np.zeros(1, np.int64), whole, passes=passes, features=features)
