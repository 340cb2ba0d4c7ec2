"""Describer: a recipe made ready. Images go in, vectors come out.

A source looks at images (a network, local features, or other recipes), the head makes vectors of what was seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.cores import usable_cores
from kindred.describer.answers import Described, Seen
from kindred.describer.head import Head, Lessons
from kindred.describer.keypoints import KEYPOINTS, KeypointSource
from kindred.describer.learned import load_lessons
from kindred.describer.network import NetworkSource
from kindred.describer.parts import PartsSource
from kindred.describer.source import Source
from kindred.embedding import KEPT_EMBEDDINGS, Codebook
from kindred.errors import ImageError, RecipeError, UsageError
from kindred.features import ConvMap
from kindred.matching import MATCHINGS, Parts
from kindred.matching import Option as MatchOption
from kindred.recipe import KEPT, Recipe, as_floats
from kindred.similarity import SIMILARITIES

if TYPE_CHECKING:
    from PIL.Image import Image

ImageLike: TypeAlias = "str | Path | bytes | Image | NDArray[np.uint8]"

__all__ = ["Describer", "ImageLike", "matching_of", "open_source"]

T = TypeVar("T")

FEW = 4  # up to so many images, starting the engine's throughput mode costs more than it saves
MOST_WORKERS = 32  # more threads than this do not serve
VERSION = 2  # raise it when the same recipe comes to give other vectors
# What a recipe is called and how its answers are compared do not change its vectors.
_NOT_SEEN = ("name", "description", "backbone", "taps", "codebook", "whitening", "dimension", "weight", "parts")
_MATCHED = ("similarity", "matching", "matching_options", "features", "code")


class Describer:
    """A recipe with its network and all that was learned; any thread may use it.

    `lessons` takes the place of the recipe's files. `device` is as in `kindred.backbones.load`, `max_pixels` as in
    `kindred.images.decode`; `workers` threads decode. Raises `ModelError` where the network is missing,
    `RecipeError` where the recipe does not fit it.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        lessons: Lessons | None = None,
        device: str | None = None,
        workers: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        _check_comparison(recipe)
        self.recipe = recipe
        self.source = open_source(recipe, device=device, workers=workers, max_pixels=max_pixels)
        self.lessons = load_lessons(recipe, self.source.identity) if lessons is None else lessons
        if isinstance(self.source, NetworkSource):
            self.source.pooler.learned = self.lessons.poolings
        self.head = Head(recipe, self.lessons)
        self._counting = Lock()
        self._images = self._passes = 0
        self.dimension = self._checked_dimension()

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on, as 16 hexadecimal digits; names and places of files do not count."""
        does = replace(self.recipe, name="-").as_dict()
        does = {key: value for key, value in does.items() if key not in (*_NOT_SEEN, *_MATCHED)}
        parts = hashlib.sha256(json.dumps([VERSION, as_floats(does), self.source.depends_on]).encode())
        lessons = [each.to_arrays() for each in (*self.lessons.codebooks, *self.lessons.whitenings)]
        for learned in (*lessons, *self.lessons.poolings):
            for name, array in sorted(learned.items()):
                parts.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return parts.hexdigest()[:16]

    @property
    def asks_otherwise(self) -> bool:
        """Whether queries are described otherwise than the images that are searched."""
        entry = KEPT_EMBEDDINGS.get(self.recipe.embedding)
        return entry is not None and any(option in self.recipe.embedding_options for option in entry.query_options)

    @property
    def matching_options(self) -> dict[str, MatchOption]:
        """The options of `matching_of` the recipe, by name.

        ASMK's `idf` comes from the codebook, unless the recipe has `idf = false`. Raises `RecipeError` for another.
        """
        options = cast("dict[str, MatchOption]", dict(self.recipe.matching_options))
        if matching_of(self.recipe) != "asmk":
            return options
        weighs = options.pop("idf", True)
        if not isinstance(weighs, bool):
            raise RecipeError(
                f"recipe {self.recipe.name!r}: matching_options.idf is {weighs!r}; expected true or false"
            )
        learned = self.lessons.codebooks[0]
        return options | {"idf": learned.idf} if weighs and isinstance(learned, Codebook) else options

    @property
    def passes(self) -> float:
        """How often the network ran for an image, on average over those described so far; 1 before the first."""
        return self._passes / self._images if self._images else 1.0

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images: paths, encoded bytes, Pillow images or uint8 RGB arrays (H, W, 3).

        Returns unit vectors (N, D) float32, in order; where the recipe keeps several rows of an image, the one of
        the whole (`parts_of` gives all). Raises `ImageError` for one that cannot be used.
        """
        many = cast("list[ImageLike]", list(images) if isinstance(images, list | tuple) else [images])
        if self.recipe.embedding in KEPT_EMBEDDINGS:
            raise UsageError(f"recipe {self.recipe.name!r} gives an image no single vector; ask for parts_of")
        vectors = np.empty((len(many), self.dimension), np.float32)
        few = len(many) <= FEW
        numbered = list(enumerate(many))
        with closing(self.one_by_one(numbered) if few else self.stream(numbered)) as answers:
            for described in answers:
                if described.error is not None:
                    raise described.error
                vectors[described.key] = described.vector
        return vectors

    def parts_of(self, image: ImageLike) -> Parts:
        """Describe an image by all its rows, as a matching compares them. Raises `ImageError` for a bad one."""
        (described,) = self.one_by_one([(0, image)], asking=True)
        if described.error is not None:
            raise described.error
        return self.as_parts(described)

    def as_parts(self, described: Described[T]) -> Parts:
        """Return the rows of an image that was described."""
        assert described.vectors is not None
        owners = np.zeros(len(described.vectors), np.int64)
        return Parts(described.vectors, owners, boxes=described.boxes, words=described.words)

    def map_of(self, image: ImageLike) -> ConvMap:
        """Return the feature map of a whole image.

        Raises `UsageError` where the recipe has not one network, `ImageError` for a bad image.
        """
        if not isinstance(self.source, NetworkSource):
            raise UsageError(f"recipe {self.recipe.name!r} has no one feature map; localisation needs one network")
        return self.source.map_of(image)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, asking: bool = False
    ) -> Generator[Described[T], None, None]:
        """Describe any number of (key, image), or queries (`asking`), as they come; a bad image is an answer too.

        Threads decode while the network runs. At most some hundred images are held at a time, and answers may
        come in another order than the images. Close it where it is left early.
        """
        with closing(self.source.stream(items, asking=asking)) as found:
            for group in found:
                seen = [each for each in group if isinstance(each, Seen)]
                self._count(seen)
                yield from self.head.finish(seen, asking=asking)
                yield from (each for each in group if isinstance(each, Described))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, asking: bool = False
    ) -> Generator[Described[T], None, None]:
        """Describe few images, or queries (`asking`), with all cores on each.

        Raises `ImageError` for one that cannot be opened.
        """
        for seen in self.source.one_by_one(items, asking=asking):
            self._count([seen])
            yield from self.head.finish([seen], asking=asking)

    def _count(self, seen: Sequence[Seen[T]]) -> None:
        with self._counting:
            self._images += len(seen)
            self._passes += sum(each.passes for each in seen)

    def _checked_dimension(self) -> int:
        """Return D. Raises `RecipeError` where network, embedding, whitening and code do not go together."""
        name, code = self.recipe.name, self.lessons.codes
        try:
            dimension = self.head.dimension(self.source.sample())
        except (UsageError, ImageError, RecipeError) as error:
            raise RecipeError(f"recipe {name!r} does not fit its parts: {error}") from error
        if code is not None and code.dimension != dimension:
            raise RecipeError(
                f"recipe {name!r}: its code was learned on vectors of {code.dimension} components, not {dimension}; "
                f"make one for {name!r} with kindred fit"
            )
        return dimension


def open_source(
    recipe: Recipe, *, device: str | None = None, workers: int | None = None, max_pixels: int | None = None
) -> Source:
    """Return what looks at images for `recipe`; arguments and errors are those of `Describer`."""
    if recipe.parts:
        parts = [Describer(part, device=device, workers=workers, max_pixels=max_pixels) for part in recipe.parts]
        return PartsSource(recipe, parts)
    threads = workers or min(MOST_WORKERS, usable_cores())
    if recipe.backbone in KEYPOINTS:
        return KeypointSource(recipe, workers=threads, max_pixels=max_pixels)
    return NetworkSource(recipe, device=device, workers=threads, max_pixels=max_pixels)


def matching_of(recipe: Recipe) -> str:
    """Return how the rows of images are compared: as their embedding asks for, or by the recipe's own choice."""
    return KEPT_EMBEDDINGS[recipe.embedding].matching if recipe.embedding in KEPT_EMBEDDINGS else recipe.matching


def _check_comparison(recipe: Recipe) -> None:
    if recipe.similarity not in SIMILARITIES:
        raise RecipeError(
            f"recipe {recipe.name!r}: similarity is {recipe.similarity!r}; expected {', '.join(SIMILARITIES)}"
        )
    if recipe.similarity == "chi_square" and recipe.whitening:
        raise RecipeError(
            f"recipe {recipe.name!r}: chi_square compares histograms, which whitened vectors are not; "
            "take another similarity, or no whitening"
        )
    matching = matching_of(recipe)
    if matching not in MATCHINGS:
        raise RecipeError(f"recipe {recipe.name!r}: matching is {matching!r}; expected {', '.join(MATCHINGS)}")
    if recipe.matching != "best" and recipe.aggregate != KEPT:
        raise RecipeError(
            f"recipe {recipe.name!r}: matching {recipe.matching!r} compares the rows of images; "
            f'expected aggregate = "{KEPT}"'
        )
