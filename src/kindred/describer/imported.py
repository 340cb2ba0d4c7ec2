"""ImportedExtractor: for vectors that were made elsewhere, so that no image can be described here."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.describer.description import Description, Facts, RawFeatures
from kindred.errors import UsageError
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["ImportedExtractor"]

T = TypeVar("T")


class ImportedExtractor:
    """Stands where an extractor is expected, and says that there is none: every image is a UsageError."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @property
    def depends_on(self) -> list[object]:
        """The length of the vectors."""
        return [self.recipe.backbone, self.recipe.dimension]

    @property
    def identity(self) -> dict[str, object]:
        """The same."""
        return {"backbone": self.recipe.backbone, "dimension": self.recipe.dimension}

    @property
    def runs_on(self) -> str:
        """Nowhere."""
        return "elsewhere"

    def sample(self) -> RawFeatures[None]:
        """Return one row of any values."""
        row = np.random.default_rng(0).random((1, self.recipe.dimension), np.float32)
        whole = np.full((1, 4), np.nan, np.float32)
        return RawFeatures(None, Facts("<sample>", 1, 1), (row,), np.zeros(1, np.int64), whole)

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Raise UsageError for the first image."""
        for _ in items:
            raise self._error(is_query=is_query)
        yield from ()

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Raise UsageError for the first image."""
        for _ in items:
            raise self._error(is_query=is_query)
        yield from ()

    def _error(self, *, is_query: bool) -> UsageError:
        advice = "search by a vector" if is_query else "add images with kindred import"
        return UsageError(
            f"recipe {self.recipe.name!r}: its vectors were made elsewhere, and images cannot be described; {advice}"
        )
