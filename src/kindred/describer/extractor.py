"""Source: where the rows of images come from. Three kinds: a network, local features, other recipes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from kindred.describer.description import Description, RawFeatures

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["Extractor"]

T = TypeVar("T")


class Extractor(Protocol):
    """Looks at images. Any thread may use it."""

    @property
    def depends_on(self) -> list[object]:
        """What its rows depend on beside the recipe."""
        ...

    @property
    def identity(self) -> Mapping[str, object]:
        """What it looks with, as what is learned on it remembers it."""
        ...

    @property
    def runs_on(self) -> str:
        """Where and how it computes, for people: "in bf16 on cpu"."""
        ...

    def sample(self) -> RawFeatures[None]:
        """Return rows as those of any image, of no meaning, to know their sizes."""
        ...

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Look at few images, as soon as possible; raises `ImageError` for a bad one.

        `is_query`: they are queries, of which more local features are taken than of images that are kept.
        """
        ...

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Look at any number of images, as they come; what failed comes described, with its error.

        Close it where it is left early.
        """
        ...
