"""Describer: a recipe made ready. Images go in, vectors come out.

A source looks at images (a network, local features, or other recipes), the head makes vectors of what was seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kindred._support.cores import usable_cores
from kindred._support.forks import ForkSafeLock
from kindred.arrays import Vectors
from kindred.describer.description import Description, RawFeatures
from kindred.describer.encoder import Encoder, FittedParameters
from kindred.describer.ensemble import EnsembleExtractor
from kindred.describer.extractor import Extractor
from kindred.describer.fitted import load_fitted
from kindred.describer.imported import ImportedExtractor
from kindred.describer.keypoints import KEYPOINTS, KeypointExtractor
from kindred.describer.network import NetworkExtractor
from kindred.describer.provenance import Provenance, digest_of_arrays, digest_of_values
from kindred.embedding import MULTI_VECTOR_EMBEDDINGS, Codebook
from kindred.errors import ImageError, RecipeError, UsageError
from kindred.features import NO_FEATURES, ConvMap, find_features
from kindred.hints import check_known
from kindred.images import ImageLike, as_image
from kindred.matching import MATCHINGS, ImageRows
from kindred.matching import Option as MatchOption
from kindred.recipe import IMPORTED, MULTI_VECTOR, Recipe, as_floats
from kindred.similarity import SIMILARITIES
from kindred.store import VisualWords

__all__ = ["Describer", "DescriberOptions", "open_extractor"]

T = TypeVar("T")

FEW = 4  # up to so many images, starting the engine's throughput mode costs more than it saves
MOST_WORKERS = 32  # more threads than this do not serve
QUERY_WORDS = 3
"""Words of each local feature of a query: one that lies near the border of a word is found in its neighbours too."""
VERSION = 2  # raise it when the same recipe comes to give other vectors
# What a recipe is called and how its answers are compared do not change its vectors.
_NOT_SEEN = ("name", "description", "backbone", "taps", "codebook", "whitening", "dimension", "weight", "ensemble")
_MATCHED = ("similarity", "matching", "matching_options", "features", "code", "words")


@dataclass(frozen=True)
class DescriberOptions:
    """How images are described, whatever the recipe: these change no vector but that of an image over the limit.

    device: as in `kindred.backbones.load`. workers: threads that decode, at most 32. max_pixels: as in
    `kindred.images.decode`. None is the default of each.
    """

    device: str | None = None
    workers: int | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"workers is {self.workers!r}; expected a whole number from 1 to {MOST_WORKERS}")

    def describer(self, recipe: Recipe) -> Describer:
        """Return the describer of a recipe with these options; errors are those of `Describer`."""
        return Describer(recipe, device=self.device, workers=self.workers, max_pixels=self.max_pixels)


class Describer:
    """A recipe with its network and all that was learned; any thread may use it.

    `fitted` takes the place of the recipe's files. `device` is as in `kindred.backbones.load`, `max_pixels` as in
    `kindred.images.decode`; `workers` threads decode. Raises `ModelError` where the network is missing,
    `RecipeError` where the recipe does not fit it.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        fitted: FittedParameters | None = None,
        device: str | None = None,
        workers: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        _check_comparison(recipe)
        self.recipe = recipe
        self.extractor = open_extractor(recipe, device=device, workers=workers, max_pixels=max_pixels)
        self.fitted = load_fitted(recipe, self.extractor.identity) if fitted is None else fitted
        if isinstance(self.extractor, NetworkExtractor):
            self.extractor.pooler.learned = self.fitted.poolings
        self.encoder = Encoder(recipe, self.fitted)
        self._counting = ForkSafeLock()
        self._images = self._passes = 0
        self.dimension = self._checked_dimension()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"a Describer (of recipe {self.recipe.name!r}) holds a network and cannot be sent to another process; "
            "send its recipe and make one there, or send the Library, which opens itself anew"
        )

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on, as 16 hexadecimal digits; names and places of files do not count."""
        parts = hashlib.sha256(json.dumps([VERSION, self._settings(), self.extractor.depends_on]).encode())
        fitted = [each.to_arrays() for each in (*self.fitted.codebooks, *self.fitted.whitenings)]
        for learned in (*fitted, *self.fitted.poolings, *self._words_arrays()):
            for name, array in sorted(learned.items()):
                parts.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return parts.hexdigest()[:16]

    @property
    def provenance(self) -> Provenance:
        """What the vectors depend on, cause by cause: where fingerprints differ, it names what does."""
        looks, fitted, source = self.extractor.depends_on, self.fitted, list[object]()
        if isinstance(self.extractor, NetworkExtractor):
            source = list(self.extractor.pooler.depends_on)
            looks = looks[: len(looks) - len(source)]
        own = Provenance(
            version=str(VERSION),
            settings=digest_of_values(self._settings()),
            network=digest_of_values(looks),
            pooling=digest_of_values([source, digest_of_arrays(fitted.poolings)]) if source or fitted.poolings else "",
            codebook=digest_of_arrays([*(each.to_arrays() for each in fitted.codebooks), *self._words_arrays()]),
            whitening=digest_of_arrays(each.to_arrays() for each in fitted.whitenings),
        )
        if not isinstance(self.extractor, EnsembleExtractor):
            return own
        # What the extractor of an ensemble looks with is in the provenance of its parts, but for their weights.
        weights = digest_of_values([own.settings, [float(part.recipe.weight) for part in self.extractor.ensemble]])
        parts = [part.provenance for part in self.extractor.ensemble]
        return Provenance.combined(replace(own, settings=weights, network=""), parts)

    def _words_arrays(self) -> list[Mapping[str, NDArray[Any]]]:
        """Return the arrays of what makes visual words, where the recipe has them: these are stored as vectors are."""
        return [] if self.fitted.words is None else [self.fitted.words.to_arrays()]

    def _settings(self) -> object:
        """Return the settings of the recipe that its vectors depend on."""
        does = replace(self.recipe, name="-").as_dict()
        return as_floats({key: value for key, value in does.items() if key not in (*_NOT_SEEN, *_MATCHED)})

    @property
    def describes_queries_differently(self) -> bool:
        """Whether queries are described otherwise than the images that are searched."""
        features = find_features(self.recipe.stored_features) if self.recipe.stored_features else None
        if self.fitted.words is not None or (features is not None and features.query != features.indexed):
            return True
        entry = MULTI_VECTOR_EMBEDDINGS.get(self.recipe.embedding)
        return entry is not None and any(option in self.recipe.embedding_options for option in entry.query_options)

    @property
    def matching_options(self) -> dict[str, MatchOption]:
        """The options of the recipe's `row_matching`, by name.

        ASMK's `idf` comes from the codebook, unless the recipe has `idf = false`. Raises `RecipeError` for another.
        """
        options = cast("dict[str, MatchOption]", dict(self.recipe.matching_options))
        if not MATCHINGS[self.recipe.row_matching].by_word:
            return options
        weighs = options.pop("idf", True)
        if not isinstance(weighs, bool):
            raise RecipeError(
                f"recipe {self.recipe.name!r}: matching_options.idf is {weighs!r}; expected true or false"
            )
        learned = self.fitted.codebooks[0]
        return options | {"idf": learned.idf} if weighs and isinstance(learned, Codebook) else options

    @property
    def passes(self) -> float:
        """How often the network ran for an image, on average over those described so far; 1 before the first."""
        return self._passes / self._images if self._images else 1.0

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images: paths, encoded bytes, binary files, Pillow images or uint8 RGB arrays (H, W, 3).

        Returns unit vectors (N, D) float32, in order; where the recipe keeps several rows of an image, the one of
        the whole (`image_rows` gives all). Raises `ImageError` for one that cannot be used.
        """
        many = [as_image(each) for each in (images if isinstance(images, list | tuple) else [images])]
        if self.recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
            raise UsageError(f"recipe {self.recipe.name!r} gives an image no single vector; ask for image_rows")
        vectors = np.empty((len(many), self.dimension), np.float32)
        few = len(many) <= FEW
        numbered = list(enumerate(many))
        with closing(self.one_by_one(numbered) if few else self.stream(numbered)) as answers:
            for described in answers:
                if described.error is not None:
                    raise described.error
                vectors[described.key] = described.vector
        return vectors

    def image_rows(self, image: ImageLike) -> ImageRows:
        """Describe an image by all its rows, as a matching compares them. Raises `ImageError` for a bad one."""
        (described,) = self.one_by_one([(0, image)], is_query=True)
        if described.error is not None:
            raise described.error
        return self.as_image_rows(described)

    def as_image_rows(self, described: Description[T]) -> ImageRows:
        """Return the rows of an image that was described."""
        assert described.vectors is not None
        owners = np.zeros(len(described.vectors), np.int64)
        return ImageRows(described.vectors, owners, boxes=described.boxes, words=described.words)

    def map_of(self, image: ImageLike) -> ConvMap:
        """Return the feature map of a whole image.

        Raises `UsageError` where the recipe has not one network, `ImageError` for a bad image.
        """
        if not isinstance(self.extractor, NetworkExtractor):
            raise UsageError(f"recipe {self.recipe.name!r} has no one feature map; localisation needs one network")
        return self.extractor.map_of(image)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[Description[T], None, None]:
        """Describe any number of (key, image), or queries (`is_query`), as they come; a bad image is an answer too.

        Threads decode while the network runs. At most some hundred images are held at a time, and answers may
        come in another order than the images. Close it where it is left early.
        """
        with closing(self.extractor.stream(items, is_query=is_query)) as found:
            for group in found:
                seen = [each for each in group if isinstance(each, RawFeatures)]
                self._count(seen)
                yield from self._with_words(self.encoder.finish(seen, is_query=is_query), is_query=is_query)
                yield from (each for each in group if isinstance(each, Description))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[Description[T], None, None]:
        """Describe few images, or queries (`is_query`), with all cores on each.

        Raises `ImageError` for one that cannot be opened.
        """
        for seen in self.extractor.one_by_one(items, is_query=is_query):
            self._count([seen])
            yield from self._with_words(self.encoder.finish([seen], is_query=is_query), is_query=is_query)

    def _with_words(self, found: Sequence[Description[T]], *, is_query: bool) -> Iterable[Description[T]]:
        """Add the visual words of local features, where the recipe has words."""
        quantizer = self.fitted.words
        if quantizer is None or not found:
            return found
        multiple = min(QUERY_WORDS, len(quantizer.codebook)) if is_query else 1
        features = [each.features or NO_FEATURES for each in found]
        full = [each.descriptors for each in features if len(each)]
        rows = np.concatenate([each.astype(np.float32) for each in full]) if full else np.zeros((0, 1), np.float32)
        words, signatures = quantizer.quantize(rows, multiple=multiple)
        ends = np.cumsum([multiple * len(each) for each in features])[:-1]
        parts = zip(np.split(words, ends), np.split(signatures, ends), strict=True)
        return [
            replace(each, visual_words=VisualWords(*own)) if each.error is None else each
            for each, own in zip(found, parts, strict=True)
        ]

    def _count(self, seen: Sequence[RawFeatures[T]]) -> None:
        with self._counting:
            self._images += len(seen)
            self._passes += sum(each.passes for each in seen)

    def _checked_dimension(self) -> int:
        """Return D. Raises `RecipeError` where network, embedding, whitening and code do not go together."""
        name, code = self.recipe.name, self.fitted.codes
        try:
            dimension = self.encoder.dimension(self.extractor.sample())
        except (UsageError, ImageError, RecipeError) as error:
            raise RecipeError(f"recipe {name!r} does not fit its parts: {error}") from error
        if code is not None and code.dimension != dimension:
            raise RecipeError(
                f"recipe {name!r}: its code was learned on vectors of {code.dimension} components, not {dimension}; "
                f"make one for {name!r} with kindred fit"
            )
        return dimension


def open_extractor(
    recipe: Recipe, *, device: str | None = None, workers: int | None = None, max_pixels: int | None = None
) -> Extractor:
    """Return what looks at images for `recipe`; arguments and errors are those of `Describer`."""
    if recipe.ensemble:
        parts = [Describer(part, device=device, workers=workers, max_pixels=max_pixels) for part in recipe.ensemble]
        return EnsembleExtractor(recipe, parts)
    if recipe.backbone == IMPORTED:
        return ImportedExtractor(recipe)
    threads = workers or min(MOST_WORKERS, usable_cores())
    if recipe.backbone in KEYPOINTS:
        return KeypointExtractor(recipe, workers=threads, max_pixels=max_pixels)
    return NetworkExtractor(recipe, device=device, workers=threads, max_pixels=max_pixels)


def _check_comparison(recipe: Recipe) -> None:
    where = f"recipe {recipe.name!r}"
    check_known("similarity", recipe.similarity, SIMILARITIES, error=RecipeError, where=where)
    if recipe.similarity == "chi_square" and recipe.whitening:
        raise RecipeError(
            f"recipe {recipe.name!r}: chi_square compares histograms, which whitened vectors are not; "
            "take another similarity, or no whitening"
        )
    matching = recipe.row_matching
    check_known("matching", matching, MATCHINGS, error=RecipeError, where=where)
    if recipe.matching != "best" and recipe.aggregate != MULTI_VECTOR:
        raise RecipeError(
            f"recipe {recipe.name!r}: matching {recipe.matching!r} compares the rows of images; "
            f'expected aggregate = "{MULTI_VECTOR}"'
        )
