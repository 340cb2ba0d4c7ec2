"""Encoder: turns the raw features of images into their vectors, with the fitted parameters.

The rows of passes are L2-normalised, then whitened and aggregated, or aggregated and whitened; local descriptors are
embedded; taps are concatenated. `AGGREGATES` is the table of ways to combine the passes of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.describer.description import Description, RawFeatures
from kindred.describer.pooled import strongest
from kindred.embedding import (
    EMBEDDINGS,
    MULTI_VECTOR_EMBEDDINGS,
    VOCABULARIES,
    Codebook,
    FittedVocabulary,
    Mixture,
    WordQuantizer,
    embed,
    embed_multi_vector,
)
from kindred.errors import ImageError, RecipeError
from kindred.fusion import concatenate
from kindred.hints import check_known
from kindred.recipe import MULTI_VECTOR, Recipe
from kindred.whitening import Whitening, power_law

if TYPE_CHECKING:
    from kindred.calibration import Calibration
    from kindred.codes import Code

__all__ = ["AGGREGATES", "Encoder", "FittedParameters", "embedding_of", "vocabulary_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Aggregate:
    """One entry of AGGREGATES. whitens_passes: whiten each pass before aggregation; otherwise the aggregate."""

    summary: str
    whitens_passes: bool


AGGREGATES: dict[str, Aggregate] = {
    "sum": Aggregate("sum of the unit vectors of all passes, each whitened first", whitens_passes=True),
    "max": Aggregate("component-wise maximum over all passes, then whitened", whitens_passes=False),
    MULTI_VECTOR: Aggregate("every pass is stored as a row, to locate the matching region", whitens_passes=True),
    **{
        name: Aggregate(f"{entry.summary}, of the passes, level by level", whitens_passes=False)
        for name, entry in EMBEDDINGS.items()
    },
}


@dataclass(frozen=True, eq=False)
class FittedParameters:
    """The parameters fitted for a recipe, one of each kind per tap; empty if none are fitted.

    poolings: the fitted arrays of a pooling, by the names of its function's parameters. codes: the compact code of
    the final vector; it does not change the vector. words: the quantizer of local features to visual words.
    calibration: the probability that two images show the same thing; it does not change the vector either.
    """

    codebooks: tuple[FittedVocabulary, ...] = ()
    whitenings: tuple[Whitening, ...] = ()
    poolings: tuple[Mapping[str, NDArray[Any]], ...] = ()
    codes: Code | None = None
    words: WordQuantizer | None = None
    calibration: Calibration | None = None


class Encoder:
    """Turns raw features into vectors. Raises `RecipeError` for an unknown aggregate or a missing codebook."""

    def __init__(self, recipe: Recipe, fitted: FittedParameters) -> None:
        self.recipe, self.fitted = recipe, fitted
        where = f"recipe {recipe.name!r}"
        check_known("aggregate", recipe.aggregate, AGGREGATES, error=RecipeError, where=where)
        if recipe.embedding in MULTI_VECTOR_EMBEDDINGS and len(recipe.taps) > 1:
            raise RecipeError(
                f"recipe {recipe.name!r}: {recipe.embedding} takes one tap, not {len(recipe.taps)}; "
                "use one recipe per tap and fuse their rankings"
            )
        self._method = embedding_of(recipe)
        if self._method and not fitted.codebooks:
            raise RecipeError(
                f"recipe {recipe.name!r}: {self._method} needs a codebook; fit one with kindred fit, on images other "
                "than those to be searched"
            )

    @np.errstate(over="ignore", invalid="ignore")  # output that is not finite is reported as an unusable image
    def encode(self, images: Sequence[RawFeatures[T]], *, is_query: bool = False) -> list[Description[T]]:
        """Return the descriptions of images; `is_query`: of queries, which some embeddings encode differently."""
        if not images:
            return []
        if self.recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
            return self._word_rows(images, is_query=is_query)
        vectors = self._vectors(images)
        if self.recipe.aggregate != MULTI_VECTOR:
            return [_description(image, vector[None]) for image, vector in zip(images, vectors, strict=True)]
        ends = np.cumsum([len(image.boxes) for image in images])[:-1]
        return [
            _description(image, rows, boxes=image.boxes)
            for image, rows in zip(images, np.split(vectors, ends), strict=True)
        ]

    @np.errstate(over="ignore", invalid="ignore")
    def dimension(self, sample: RawFeatures[T]) -> int:
        """Return D, the number of components of a vector."""
        if self.recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
            return self.fitted.codebooks[0].dimension
        return int(self._vectors([sample]).shape[1])

    def _vectors(self, images: Sequence[RawFeatures[T]]) -> Vectors:
        """Return the vectors of images (B, D), or all their rows for a multi-vector recipe."""
        taps = [
            self._one_tap([image.rows[tap] for image in images], [image.levels for image in images], tap)
            for tap in range(len(images[0].rows))
        ]
        return taps[0] if len(taps) == 1 else concatenate(taps, weights=list(self.recipe.tap_weights) or None)

    def unwhitened(self, images: Sequence[RawFeatures[T]], tap: int) -> Vectors:
        """Return the unit vectors of a tap as they are before whitening, to fit a whitening on them."""
        return self._one_tap(
            [image.rows[tap] for image in images], [image.levels for image in images], tap, whiten=False
        )

    def _one_tap(
        self, rows: list[Vectors], levels: list[NDArray[np.int64]], tap: int, *, whiten: bool = True
    ) -> Vectors:
        """Return the unit vectors of images by one tap: (B, D), or all their rows for a multi-vector recipe."""
        recipe = self.recipe
        whitening = self.fitted.whitenings[tap] if whiten and self.fitted.whitenings else None
        before = not self._method and AGGREGATES[recipe.aggregate].whitens_passes
        if self._method:
            vectors = self._embedded(rows, levels, tap)
            return _whitened(self._powered(vectors), whitening)
        passes = l2_normalise(self._powered(np.concatenate(rows)))
        if before:
            passes = _whitened(passes, whitening)
        if recipe.aggregate == MULTI_VECTOR or (not whiten and before):
            return passes
        counts = [len(each) for each in rows]
        if max(counts) == 1:
            vectors = passes
        else:
            starts = np.cumsum([0, *counts[:-1]])
            combine = np.maximum if recipe.aggregate == "max" else np.add
            vectors = l2_normalise(combine.reduceat(passes, starts, axis=0))
        return vectors if before else _whitened(vectors, whitening)

    def _embedded(self, rows: list[Vectors], levels: list[NDArray[np.int64]], tap: int) -> Vectors:
        """Embed the local descriptors, or the passes of each level: (B, D)."""
        recipe, vocabulary = self.recipe, self.fitted.codebooks[tap]
        if recipe.embedding:
            sets = [strongest(each, recipe.positions) for each in rows]
            return self._embed(sets, vocabulary)
        count = 1 + max(int(each.max()) for each in levels)
        by_level = [
            l2_normalise(self._embed([each[at == level] for each, at in zip(rows, levels, strict=True)], vocabulary))
            for level in range(count)
        ]
        return np.concatenate(by_level, axis=1)

    def _embed(self, sets: list[Vectors], vocabulary: FittedVocabulary) -> Vectors:
        counts, options = [len(each) for each in sets], cast("dict[str, float]", self.recipe.embedding_options)
        return embed(np.concatenate(sets), counts, self._method, vocabulary, **options)

    def _word_rows(self, images: Sequence[RawFeatures[T]], *, is_query: bool) -> list[Description[T]]:
        """Return the descriptions of images with one row per visual word."""
        entry, (vocabulary,) = MULTI_VECTOR_EMBEDDINGS[self.recipe.embedding], self.fitted.codebooks
        given = cast("dict[str, float]", self.recipe.embedding_options)
        options = {key: value for key, value in given.items() if is_query or key not in entry.query_options}
        sets = [strongest(image.rows[0], self.recipe.positions) for image in images]
        counts = [len(each) for each in sets]
        owners, words, vectors = embed_multi_vector(
            np.concatenate(sets), counts, self.recipe.embedding, vocabulary, **options
        )
        ends = np.searchsorted(owners, np.arange(1, len(images)))
        return [
            _description(image, rows, words=own_words)
            for image, rows, own_words in zip(images, np.split(vectors, ends), np.split(words, ends), strict=True)
        ]

    def _powered(self, rows: Vectors) -> Vectors:
        return rows if self.recipe.power_law == 1 else power_law(rows, alpha=self.recipe.power_law)


def embedding_of(recipe: Recipe) -> str:
    """Return the name of the embedding that needs a codebook, "" if none; raises `RecipeError` if it is unknown."""
    method = recipe.embedding or (recipe.aggregate if recipe.aggregate in EMBEDDINGS else "")
    if method:
        known = [*EMBEDDINGS, *MULTI_VECTOR_EMBEDDINGS]
        check_known("embedding", method, known, error=RecipeError, where=f"recipe {recipe.name!r}")
    return method


def vocabulary_of(method: str) -> type[Codebook] | type[Mixture]:
    """Return the type of visual vocabulary that an embedding uses."""
    entry = EMBEDDINGS[method] if method in EMBEDDINGS else MULTI_VECTOR_EMBEDDINGS[method]
    return VOCABULARIES[entry.vocabulary]


def _whitened(vectors: Vectors, whitening: Whitening | None) -> Vectors:
    unit: Vectors = l2_normalise(vectors)
    return unit if whitening is None else whitening.transform(unit)


def _description(
    image: RawFeatures[T],
    vectors: Vectors,
    *,
    boxes: NDArray[np.float32] | None = None,
    words: NDArray[np.int64] | None = None,
) -> Description[T]:
    info = image.info
    if not np.isfinite(vectors).all():
        return Description(image.key, error=ImageError(info.name, "the output of the network is not finite"))
    return Description(
        image.key,
        vectors,
        info.width,
        info.height,
        info.taken,
        boxes=boxes,
        words=words,
        features=image.features,
        more=image.more,
        frames=info.frames,
        frame=info.frame,
    )
