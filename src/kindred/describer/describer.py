"""Describer: computes the descriptors of images as a recipe specifies.

An extractor (a network, local features, or an ensemble of recipes) computes features; the encoder turns them into
vectors.
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
from kindred.features.network import joined
from kindred.hints import check_known
from kindred.images import ImageLike, as_image
from kindred.matching import MATCHINGS, ImageRows
from kindred.matching import Option as MatchOption
from kindred.recipe import IMPORTED, MULTI_VECTOR, Recipe, as_floats
from kindred.similarity import SIMILARITIES
from kindred.store import VisualWords

__all__ = ["Describer", "DescriberOptions", "open_extractor"]

T = TypeVar("T")

FEW = 4  # up to this many images, starting the engine's throughput mode costs more than it saves
MOST_WORKERS = 32  # more threads bring no further speed
QUERY_WORDS = 5
"""Nearest words per local feature of a query (multiple assignment), as a match may be assigned to another word.

Of pairs of `kin` keypoints that verify a cover, 23 % share the nearest word, 42 % one of three, 51 % one of five.
"""
VERSION = 2  # increase it whenever the same recipe starts to give different vectors
# The name of a recipe and the way its vectors are compared do not change the vectors.
_NOT_IN_FINGERPRINT = (
    "name",
    "description",
    "backbone",
    "taps",
    "codebook",
    "whitening",
    "dimension",
    "weight",
    "ensemble",
)
_COMPARISON = ("similarity", "matching", "matching_options", "features", "code", "words", "calibration")


@dataclass(frozen=True)
class DescriberOptions:
    """Run-time options of a describer; they do not change the vectors.

    device: as in `kindred.backbones.load`. workers: number of decoding threads, at most 32. max_pixels: images larger
    than this are refused, as in `kindred.images.decode`. threads: those of the network, as in `kindred.backbones.load`.
    None selects the default of each.
    """

    device: str | None = None
    workers: int | None = None
    max_pixels: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"workers is {self.workers!r}; expected a whole number from 1 to {MOST_WORKERS}")

    def describer(self, recipe: Recipe) -> Describer:
        """Return a describer for `recipe` with these options; raises the errors of `Describer`."""
        return Describer(
            recipe, device=self.device, workers=self.workers, max_pixels=self.max_pixels, threads=self.threads
        )


class Describer:
    """Computes image descriptors by a recipe, with its network and fitted parameters loaded. Thread-safe.

    `fitted` replaces the parameters in the recipe's files. `device` is as in `kindred.backbones.load`, `max_pixels` as
    in `kindred.images.decode`; `workers` is the number of decoding threads, `threads` that of the network. Raises
    `ModelError` if the network is missing, `RecipeError` if the recipe does not fit the network.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        fitted: FittedParameters | None = None,
        device: str | None = None,
        workers: int | None = None,
        max_pixels: int | None = None,
        threads: int | None = None,
    ) -> None:
        _check_comparison(recipe)
        self.recipe = recipe
        self.extractor = open_extractor(recipe, device=device, workers=workers, max_pixels=max_pixels, threads=threads)
        self.fitted = load_fitted(recipe, self.extractor.identity) if fitted is None else fitted
        if isinstance(self.extractor, NetworkExtractor):
            self.extractor.pooler.fitted = self.fitted.poolings
        self.encoder = Encoder(recipe, self.fitted)
        self._count_lock = ForkSafeLock()
        self._images = self._passes = 0
        self.dimension = self._checked_dimension()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"the Describer of recipe {self.recipe.name!r} holds a network and cannot be sent to another process; "
            "send the recipe and create a Describer there, or send the Library"
        )

    @property
    def fingerprint(self) -> str:
        """Digest of all that the vectors depend on, 16 hexadecimal digits; file names and locations have no effect."""
        digest = hashlib.sha256(json.dumps([VERSION, self._settings(), self.extractor.depends_on]).encode())
        fitted = [each.to_arrays() for each in (*self.fitted.codebooks, *self.fitted.whitenings)]
        for arrays in (*fitted, *self.fitted.poolings, *self._words_arrays()):
            for name, array in sorted(arrays.items()):
                digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def provenance(self) -> Provenance:
        """Separate digests of all that the vectors depend on, to name what differs between two fingerprints."""
        network, fitted, pooling = self.extractor.depends_on, self.fitted, list[object]()
        if isinstance(self.extractor, NetworkExtractor):
            pooling = list(self.extractor.pooler.depends_on)
            network = network[: len(network) - len(pooling)]
        own = Provenance(
            version=str(VERSION),
            settings=digest_of_values(self._settings()),
            network=digest_of_values(network),
            pooling=digest_of_values([pooling, digest_of_arrays(fitted.poolings)])
            if pooling or fitted.poolings
            else "",
            codebook=digest_of_arrays([*(each.to_arrays() for each in fitted.codebooks), *self._words_arrays()]),
            whitening=digest_of_arrays(each.to_arrays() for each in fitted.whitenings),
        )
        if not isinstance(self.extractor, EnsembleExtractor):
            return own
        # An ensemble depends on the provenance of its recipes and on their weights.
        weights = digest_of_values([own.settings, [float(part.recipe.weight) for part in self.extractor.ensemble]])
        parts = [part.provenance for part in self.extractor.ensemble]
        return Provenance.combined(replace(own, settings=weights, network=""), parts)

    def _words_arrays(self) -> list[Mapping[str, NDArray[Any]]]:
        """Return the arrays of the quantizer of visual words, [] if the recipe has none."""
        return [] if self.fitted.words is None else [self.fitted.words.to_arrays()]

    def _settings(self) -> object:
        """Return the settings of the recipe that its vectors depend on."""
        keys = replace(self.recipe, name="-").as_dict()
        return as_floats({key: value for key, value in keys.items() if key not in (*_NOT_IN_FINGERPRINT, *_COMPARISON)})

    @property
    def describes_queries_differently(self) -> bool:
        """Whether queries are described differently from database images."""
        features = find_features(self.recipe.stored_features) if self.recipe.stored_features else None
        if self.fitted.words is not None or (features is not None and features.query != features.indexed):
            return True
        entry = MULTI_VECTOR_EMBEDDINGS.get(self.recipe.embedding)
        return entry is not None and any(option in self.recipe.embedding_options for option in entry.query_options)

    @property
    def matching_options(self) -> dict[str, MatchOption]:
        """The options of the recipe's `row_matching`, by name.

        ASMK's `idf` weights come from the codebook, unless the recipe sets `idf = false`. Raises `RecipeError` if
        `idf` is not a boolean.
        """
        options = cast("dict[str, MatchOption]", dict(self.recipe.matching_options))
        if not MATCHINGS[self.recipe.row_matching].by_word:
            return options
        use_idf = options.pop("idf", True)
        if not isinstance(use_idf, bool):
            raise RecipeError(
                f"recipe {self.recipe.name!r}: matching_options.idf is {use_idf!r}; expected true or false"
            )
        codebook = self.fitted.codebooks[0]
        return options | {"idf": codebook.idf} if use_idf and isinstance(codebook, Codebook) else options

    @property
    def full_size(self) -> int:
        """The longer side, in pixels, from which an image is not enlarged; 0 if images are described at any size."""
        if isinstance(self.extractor, EnsembleExtractor):
            return max(part.full_size for part in self.extractor.ensemble)
        return self.extractor.viewer.full_size if isinstance(self.extractor, NetworkExtractor) else 0

    @property
    def passes(self) -> float:
        """Mean number of network passes per image described so far; 1 before the first image."""
        return self._passes / self._images if self._images else 1.0

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images: paths, encoded bytes, binary files, Pillow images or uint8 RGB arrays (H, W, 3).

        Returns unit vectors (N, D) float32, in order. If the recipe describes an image by several rows, the vector is
        that of the whole image (`image_rows` returns all). Raises `ImageError` for an unusable image.
        """
        many = [as_image(each) for each in (images if isinstance(images, list | tuple) else [images])]
        if self.recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
            raise UsageError(
                f"recipe {self.recipe.name!r}: describes an image by several rows; call image_rows instead"
            )
        vectors = np.empty((len(many), self.dimension), np.float32)
        few = len(many) <= FEW
        numbered = list(enumerate(many))
        with closing(self.one_by_one(numbered) if few else self.stream(numbered)) as descriptions:
            for described in descriptions:
                if described.error is not None:
                    raise described.error
                vectors[described.key] = described.vector
        return vectors

    def image_rows(self, image: ImageLike) -> ImageRows:
        """Return all rows of a query image, for row matching. Raises `ImageError` for an unusable image."""
        (described,) = self.one_by_one([(0, image)], is_query=True)
        if described.error is not None:
            raise described.error
        return self.as_image_rows(described)

    def as_image_rows(self, described: Description[T]) -> ImageRows:
        """Return the rows of a description as the rows of one image."""
        assert described.vectors is not None
        owners = np.zeros(len(described.vectors), np.int64)
        return ImageRows(described.vectors, owners, boxes=described.boxes, words=described.words)

    def map_of(self, image: ImageLike) -> ConvMap:
        """Return the feature map of the whole image.

        Raises `UsageError` if the recipe's backbone is not a single network, `ImageError` for an unusable image.
        """
        if not isinstance(self.extractor, NetworkExtractor):
            raise UsageError(f"recipe {self.recipe.name!r}: has no feature map; localisation needs a single network")
        return self.extractor.map_of(image)

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False, lazy: bool = False
    ) -> Generator[Description[T], None, None]:
        """Describe any number of (key, image); `is_query`: as queries. An unusable image yields its error.

        `lazy` is that of `one_by_one`. Threads decode while the network runs. At most a few hundred images are in
        memory at a time, and descriptions may come in another order than the images. Close the generator if it is not
        run to its end.
        """
        if isinstance(self.extractor, NetworkExtractor):
            extracted = self.extractor.stream(items, is_query=is_query, lazy=lazy)
        else:
            extracted = self.extractor.stream(items, is_query=is_query)
        with closing(extracted) as groups:
            for group in groups:
                features = [each for each in group if isinstance(each, RawFeatures)]
                self._count(features)
                yield from self._with_words(self.encoder.encode(features, is_query=is_query), is_query=is_query)
                yield from (each for each in group if isinstance(each, Description))

    def whole_vectors(self, items: Iterable[tuple[T, ImageLike]]) -> Generator[tuple[T, Vectors]]:
        """Yield the key and the vector (D,) of images, in any order; unusable images are left out.

        As `stream`, but without the visual words of local features.
        """
        with closing(self.extractor.stream(items)) as groups:
            for group in groups:
                features = [each for each in group if isinstance(each, RawFeatures)]
                self._count(features)
                found = self.encoder.encode(features)
                yield from ((each.key, each.vector) for each in found if each.vector is not None)

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False, lazy: bool = False
    ) -> Generator[Description[T], None, None]:
        """Describe a few (key, image), one after another, each on all cores; `is_query`: as queries.

        With `lazy`, queries may lack the local features of all passes but the first (`looked_again`). Raises
        `ImageError` for an image that cannot be opened.
        """
        if isinstance(self.extractor, NetworkExtractor):
            extracted = self.extractor.one_by_one(items, is_query=is_query, lazy=lazy)
        else:
            extracted = self.extractor.one_by_one(items, is_query=is_query)
        for features in extracted:
            self._count([features])
            yield from self._with_words(self.encoder.encode([features], is_query=is_query), is_query=is_query)

    def looked_again(self, described: Description[T]) -> Description[T]:
        """Return a lazily described query with the local features and visual words of all passes over it."""
        if described.more is None or described.features is None:
            return described
        more = described.more()
        features = described.features if more is None else joined([described.features, more])
        (complete,) = self._with_words([replace(described, features=features, more=None)], is_query=True)
        return complete

    def _with_words(self, found: Sequence[Description[T]], *, is_query: bool) -> Iterable[Description[T]]:
        """Add the visual words of local features, if the recipe has words."""
        quantizer = self.fitted.words
        if quantizer is None or not found:
            return found
        multiple = min(QUERY_WORDS, len(quantizer.codebook)) if is_query else 1
        features = [each.features or NO_FEATURES for each in found]
        full = [each.descriptors for each in features if len(each)]
        rows = np.concatenate([each.astype(np.float32) for each in full]) if full else np.zeros((0, 1), np.float32)
        words, signatures, _ = quantizer.quantize(rows, multiple=multiple)
        ends = np.cumsum([multiple * len(each) for each in features])[:-1]
        parts = zip(np.split(words, ends), np.split(signatures, ends), strict=True)
        return [
            replace(each, visual_words=VisualWords(*own, tuple(multiple * count for count in its.passes)))
            if each.error is None
            else each
            for each, its, own in zip(found, features, parts, strict=True)
        ]

    def _count(self, features: Sequence[RawFeatures[T]]) -> None:
        with self._count_lock:
            self._images += len(features)
            self._passes += sum(each.passes for each in features)

    def _checked_dimension(self) -> int:
        """Return D. Raises `RecipeError` if network, embedding, whitening and code do not fit together."""
        name, code = self.recipe.name, self.fitted.codes
        try:
            dimension = self.encoder.dimension(self.extractor.sample())
        except (UsageError, ImageError, RecipeError) as error:
            raise RecipeError(f"recipe {name!r}: {error}") from error
        if code is not None and code.dimension != dimension:
            raise RecipeError(
                f"recipe {name!r}: its code was fitted to vectors of {code.dimension} components, not {dimension}; "
                f"fit one for {name!r} with kindred fit"
            )
        return dimension


def open_extractor(
    recipe: Recipe,
    *,
    device: str | None = None,
    workers: int | None = None,
    max_pixels: int | None = None,
    threads: int | None = None,
) -> Extractor:
    """Return the feature extractor of `recipe`; arguments and errors are those of `Describer`."""
    if recipe.ensemble:
        options = DescriberOptions(device, workers, max_pixels, threads)
        return EnsembleExtractor(recipe, [options.describer(part) for part in recipe.ensemble])
    if recipe.backbone == IMPORTED:
        return ImportedExtractor(recipe)
    decoding = workers or min(MOST_WORKERS, usable_cores())
    if recipe.backbone in KEYPOINTS:
        return KeypointExtractor(recipe, workers=decoding, max_pixels=max_pixels)
    return NetworkExtractor(recipe, device=device, workers=decoding, max_pixels=max_pixels, threads=threads)


def _check_comparison(recipe: Recipe) -> None:
    where = f"recipe {recipe.name!r}"
    check_known("similarity", recipe.similarity, SIMILARITIES, error=RecipeError, where=where)
    if recipe.similarity == "chi_square" and recipe.whitening:
        raise RecipeError(
            f"recipe {recipe.name!r}: chi_square compares histograms, and whitened vectors are not histograms; "
            "use another similarity, or no whitening"
        )
    matching = recipe.row_matching
    check_known("matching", matching, MATCHINGS, error=RecipeError, where=where)
    if recipe.matching != "best" and recipe.aggregate != MULTI_VECTOR:
        raise RecipeError(
            f"recipe {recipe.name!r}: matching {recipe.matching!r} compares several rows per image; "
            f'expected aggregate = "{MULTI_VECTOR}"'
        )
