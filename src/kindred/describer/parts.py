"""PartsSource: the vectors of several recipes, laid end to end (early fusion)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.arrays import Vectors
from kindred.describer.answers import Described, Facts, Seen
from kindred.describer.learned import learned_for
from kindred.describer.local import label
from kindred.fusion import concatenate
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.describer.describer import Describer, ImageLike

__all__ = ["PartsSource"]

T = TypeVar("T")

CHUNK = 512
"""Images that every part describes before the next chunk is begun."""


class PartsSource:
    """Describes every image by each part of a recipe in turn; every part decodes for itself."""

    def __init__(self, recipe: Recipe, parts: Sequence[Describer]) -> None:
        self.recipe, self.parts = recipe, parts

    @property
    def depends_on(self) -> list[object]:
        """The parts' own fingerprints and weights."""
        return [[part.fingerprint, float(part.recipe.weight)] for part in self.parts]

    @property
    def identity(self) -> dict[str, object]:
        """What each part is made of, but not at which size and in which passes; its dimension and weight."""
        return {
            "parts": [
                [learned_for(part.recipe, "code", part.source.identity), part.dimension, float(part.recipe.weight)]
                for part in self.parts
            ]
        }

    @property
    def runs_on(self) -> str:
        """Each part's own."""
        return ", ".join(dict.fromkeys(part.source.runs_on for part in self.parts))

    def sample(self) -> Seen[None]:
        """Return a fused vector of any values."""
        width = sum(part.dimension for part in self.parts)
        whole = np.full((1, 4), np.nan, np.float32)
        row = np.random.default_rng(0).random((1, width), np.float32)
        return Seen(None, Facts("<sample>", 1, 1), (row,), np.zeros(1, np.int64), whole)

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, asking: bool = False
    ) -> Generator[Seen[T], None, None]:
        """Look at few images."""
        for key, image in items:
            answers = [next(part.one_by_one([(key, image)], asking=asking)) for part in self.parts]
            for answer in answers:
                if answer.error is not None:
                    raise answer.error
            yield self._seen(key, image, answers)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, asking: bool = False
    ) -> Generator[list[Seen[T] | Described[T]], None, None]:
        """Look at any number of images, a chunk at a time."""
        remaining = iter(items)
        while chunk := list(islice(remaining, CHUNK)):
            numbered = [(number, image) for number, (_, image) in enumerate(chunk)]
            found = [{each.key: each for each in part.stream(numbered, asking=asking)} for part in self.parts]
            done: list[Seen[T] | Described[T]] = []
            for number, (key, image) in enumerate(chunk):
                answers = [by_number[number] for by_number in found]
                failed = next((each.error for each in answers if each.error is not None), None)
                done.append(Described(key, error=failed) if failed is not None else self._seen(key, image, answers))
            yield done

    def _seen(self, key: T, image: ImageLike, answers: Sequence[Described[int]] | Sequence[Described[T]]) -> Seen[T]:
        rows: list[Vectors] = [each.vectors for each in answers if each.vectors is not None]
        fused = concatenate(rows, weights=[part.recipe.weight for part in self.parts])
        first = answers[0]
        facts = Facts(label(image), first.width or 0, first.height or 0, first.taken)
        whole = np.full((1, 4), np.nan, np.float32)
        passes = sum(round(part.passes) for part in self.parts)
        features = next((each.features for each in answers if each.features is not None), None)
        return Seen(key, facts, (fused,), np.zeros(1, np.int64), whole, passes=passes, features=features)
