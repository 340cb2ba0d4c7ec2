"""Extractor: the interface of feature extraction, by a network, by local features, or by an ensemble of recipes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from kindred.describer.description import Description, RawFeatures

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["Extractor"]

T = TypeVar("T")


class Extractor(Protocol):
    """Extracts features from images. Thread-safe."""

    @property
    def depends_on(self) -> list[object]:
        """Everything the features depend on besides the recipe, for the fingerprint."""
        ...

    @property
    def identity(self) -> Mapping[str, object]:
        """The network and taps (or detector), as recorded in the files of parameters fitted to its features."""
        ...

    @property
    def runs_on(self) -> str:
        """Number format and device, to be printed: "in bf16 on cpu"."""
        ...

    def sample(self) -> RawFeatures[None]:
        """Return placeholder features, of the shapes that an image would give."""
        ...

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Extract features from a few images with the lowest latency; raises `ImageError` for an unusable image.

        `is_query`: more local features are extracted from a query than from a database image.
        """
        ...

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Extract features from any number of images, in groups; an unusable image yields a `Description` of its error.

        Close the generator if it is not run to its end.
        """
        ...
