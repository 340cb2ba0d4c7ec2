"""ImportedExtractor: the extractor of libraries of imported vectors, whose network is unknown."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.describer.description import Description, ImageInfo, RawFeatures
from kindred.errors import UsageError
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["ImportedExtractor"]

T = TypeVar("T")


class ImportedExtractor:
    """Raises UsageError for every image, as imported vectors come from an unknown network."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @property
    def depends_on(self) -> list[object]:
        """The dimension of the vectors."""
        return [self.recipe.backbone, self.recipe.dimension]

    @property
    def identity(self) -> dict[str, object]:
        """The dimension of the vectors."""
        return {"backbone": self.recipe.backbone, "dimension": self.recipe.dimension}

    @property
    def runs_on(self) -> str:
        """Always "elsewhere"."""
        return "elsewhere"

    def sample(self) -> RawFeatures[None]:
        """Return one row of random values."""
        row = np.random.default_rng(0).random((1, self.recipe.dimension), np.float32)
        whole = np.full((1, 4), np.nan, np.float32)
        return RawFeatures(None, ImageInfo("<sample>", 1, 1), (row,), np.zeros(1, np.int64), whole)

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
            f"recipe {self.recipe.name!r}: its vectors were imported, and images cannot be described; {advice}"
        )
