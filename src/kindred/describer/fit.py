"""Fit the codebook, whitening and code that a recipe needs, on images other than those to be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.codes import CODES, Code
from kindred.describer.describer import Describer, open_extractor
from kindred.describer.description import Description, RawFeatures
from kindred.describer.encoder import FittedParameters, embedding_of, vocabulary_of
from kindred.describer.extractor import Extractor
from kindred.describer.fitted import write_recipe
from kindred.describer.pooled import strongest
from kindred.embedding import MULTI_VECTOR_EMBEDDINGS, Codebook, FittedVocabulary, WordQuantizer
from kindred.errors import ImageError, UsageError
from kindred.hints import check_known
from kindred.pooling import POOLINGS, FittedPooling
from kindred.recipe import Recipe
from kindred.whitening import LearnedWhitening, PCAWhitening, Whitening
from kindred.whitening.base import check_dimension
from kindred.whitening.learned import check_pairs

__all__ = ["Fitted", "fit_code", "fit_codebook", "fit_pair_whitening", "fit_recipe", "fit_whitening", "fit_words"]

Progress = Callable[[int], None]

WHITENING_ROWS = 4096  # rows passed to the whitening at a time
LOCAL_DIMENSION = 128  # longer local descriptors are reduced to this many components before clustering
NAMED = 3  # unusable images named in an error
CODED_ROWS = 1 << 18  # most rows that a code is fitted on, if images have several
SAMPLED = 1 << 19  # most descriptors of each tap that a codebook is fitted on


@dataclass(frozen=True, eq=False)
class Fitted:
    """A recipe and the parameters fitted for it; `images` is how many they were fitted on, `dimension` the new D."""

    recipe: Recipe
    fitted: FittedParameters
    images: int
    dimension: int
    identity: Mapping[str, object]

    def save(self, file: Path) -> list[Path]:
        """Write the recipe as `file` (.toml) and its fitted parameters beside it; return all files written."""
        made = f"Made from {self.recipe.name} by kindred fit, on {self.images:,} images."
        recipe = replace(self.recipe, name=file.stem, description=made)
        return write_recipe(file, recipe, self.fitted, self.identity)


def fit_recipe(
    recipe: Recipe,
    images: Sequence[Path],
    *,
    words: int = 64,
    local_dimension: int | None = None,
    whiten: bool | None = None,
    dimension: int | None = None,
    power: float = 0.5,
    pairs: Sequence[tuple[Path, Path]] = (),
    code: str = "",
    bits: int | None = None,
    feature_words: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Fit all that `recipe` needs and does not have: a codebook for an embedding, a whitening, a code.

    words: the number of visual words, or of mixture components. local_dimension: the dimension to which PCA first
    reduces local descriptors; by default 128 for longer ones. whiten: whether to fit a whitening; by default yes,
    except for ASMK, and except if the recipe has one and only a code or words are requested. dimension, power: the
    output dimension and exponent of the whitening. pairs: matching images to fit the whitening on, as in
    `fit_pair_whitening`. code, bits: a name of `kindred.codes.CODES`, fitted on the final vectors, and its size in
    bits; None for the usual one. feature_words: the number of visual words of local features (`fit_words`), 0 for
    none. Unusable images are skipped. `progress` is called with the number of images processed, in each pass over
    them. Raises `UsageError` for too few images, an unknown code, or arguments that contradict each other or the
    recipe.
    """
    _check_code(recipe, code)
    keeps_whitening = (
        bool((code or feature_words) and recipe.whitening) and whiten is None and dimension is None and not pairs
    )
    if whiten is None:
        whiten = bool(dimension or pairs) or not (keeps_whitening or recipe.embedding in MULTI_VECTOR_EMBEDDINGS)
    _check_whitening(recipe, whiten=whiten, dimension=dimension, pairs=pairs)
    quantizer = None
    if feature_words:
        quantizer = fit_words(recipe, images, words=feature_words, seed=seed, progress=progress)
        recipe = replace(recipe, words="")
    recipe = replace(recipe, calibration="")  # it is of other vectors
    bare = replace(recipe, code="") if keeps_whitening else replace(recipe, code="", whitening="", dimension=0)
    fitted = None
    if embedding_of(recipe) and not recipe.codebook:
        fitted = FittedParameters(
            fit_codebook(bare, images, words=words, dimension=local_dimension, seed=seed, progress=progress)
        )
    elif not recipe.codebook and (pooling := POOLINGS.get(recipe.pooling)) and pooling.fitted is not None:
        fitted = FittedParameters(poolings=_poolings(bare, pooling.fitted, images, progress))
    describer = Describer(bare, fitted=fitted)
    whitenings: tuple[Whitening, ...] = ()
    if pairs:
        whitenings = (fit_pair_whitening(bare, pairs, images, dimension=dimension, fitted=fitted),)
    elif whiten:
        whitenings = _whitenings(describer, images, dimension=dimension, power=power, progress=progress)
    result = describer.fitted if keeps_whitening else replace(describer.fitted, whitenings=whitenings)
    if code:
        codes = fit_code(bare, images, code=code, bits=bits, fitted=result, seed=seed, progress=progress)
        result = replace(result, codes=codes)
    if quantizer is not None:
        result = replace(result, words=quantizer)
    dimension = whitenings[0].dimension * len(whitenings) if whitenings else describer.dimension
    return Fitted(bare, result, len(images), dimension, describer.extractor.identity)


def fit_code(
    recipe: Recipe,
    images: Iterable[Path],
    *,
    code: str = "itq",
    bits: int | None = None,
    fitted: FittedParameters | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Code:
    """Fit a compact code on the vectors of `images`; unusable images are skipped.

    code, bits: a name of `kindred.codes.CODES`, and its size. fitted: replaces the parameters in the recipe's files.
    Raises `RecipeError` if the recipe's vectors cannot be encoded, `UsageError` for an unknown code, too few images,
    or a size that does not suit the vectors.
    """
    _check_code(recipe, code)
    describer = Describer(replace(recipe, code=""), fitted=None if fitted is None else replace(fitted, codes=None))
    rows = _rows if recipe.multi_vector else _vectors
    return CODES[code].fitted.fit(rows(describer, images, progress), bits=bits, seed=seed)


def fit_words(
    recipe: Recipe, images: Iterable[Path], *, words: int = 4096, seed: int = 0, progress: Progress | None = None
) -> WordQuantizer:
    """Fit the visual words of the local features that `recipe` stores, on `images`; unusable images are skipped.

    Raises `UsageError` if the recipe stores no local features, or for too few of them.
    """
    if not recipe.stored_features:
        raise UsageError(f"recipe {recipe.name!r} stores no local features; set features, such as features=kin")
    paths = list(images)
    share = max(16, SAMPLED // max(1, len(paths)))
    rng = np.random.default_rng(seed)
    drawn: dict[int, Vectors] = {}
    for described in _usable(Describer(replace(recipe, words="", code="")), paths, progress):
        if described.features is not None and len(described.features):
            drawn[described.key] = described.features.descriptors.astype(np.float32)
    if not drawn:
        raise UsageError(f"recipe {recipe.name!r}: none of the images has local features to fit visual words on")
    # In the order of the images, so that the sample is deterministic.
    rows = [drawn[key][np.sort(rng.permutation(len(drawn[key]))[:share])] for key in sorted(drawn)]
    return WordQuantizer(Codebook.fit(np.concatenate(rows), words=words, counts=list(map(len, rows)), seed=seed))


def fit_whitening(
    recipe: Recipe,
    images: Iterable[Path],
    *,
    dimension: int | None = None,
    power: float = 0.5,
    progress: Progress | None = None,
) -> PCAWhitening:
    """Fit a PCA whitening for `recipe` (of one tap) on `images`.

    If passes, or R-MAC's regions, are whitened before they are summed, it is fitted on the vectors of all of them
    (Tolias et al. 2016). Raises `UsageError` for too few images.
    """
    describer = Describer(replace(recipe, whitening="", dimension=0, calibration=""))
    whitenings = _whitenings(describer, images, dimension=dimension, power=power, progress=progress)
    return cast(PCAWhitening, whitenings[0])


def fit_pair_whitening(
    recipe: Recipe,
    pairs: Sequence[tuple[Path, Path]],
    images: Iterable[Path],
    *,
    dimension: int | None = None,
    fitted: FittedParameters | None = None,
) -> LearnedWhitening:
    """Fit a learned whitening on matching image pairs (Radenović et al. 2018), for a recipe of one tap.

    The directions of largest variance come from `images`; unusable ones are skipped. fitted: replaces the parameters
    in the recipe's files. Raises `ImageError` for an unusable image of a pair.
    """
    check_one_vector(recipe, "pairs")
    describer = Describer(replace(recipe, whitening="", dimension=0, calibration=""), fitted=fitted)
    check_pairs(len(pairs), describer.dimension)
    if dimension is not None:
        check_dimension(dimension, describer.dimension)
    queries = describer.describe([query for query, _ in pairs])
    positives = describer.describe([positive for _, positive in pairs])
    return LearnedWhitening.fit(queries, positives, _vectors(describer, images), dimension=dimension)


def fit_codebook(
    recipe: Recipe,
    images: Iterable[Path],
    *,
    words: int,
    dimension: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[FittedVocabulary, ...]:
    """Fit a codebook, or a mixture, for each tap of `recipe`, on the local descriptors that it embeds.

    An equal number of descriptors is drawn from every image, at most `SAMPLED` in total. Raises `UsageError` if the
    recipe has no embedding, or no image is usable.
    """
    method = embedding_of(recipe)
    if not method:
        raise UsageError(f"recipe {recipe.name!r}: has no embedding, so it needs no codebook; name an embedding")
    paths = list(images)
    share = max(16, SAMPLED // max(1, len(paths)))
    rng = np.random.default_rng(seed)

    def drawn_of(found: Vectors) -> Vectors:
        rows = strongest(found, recipe.positions)
        return rows[np.sort(rng.permutation(len(rows))[:share])]

    drawn = _by_tap(recipe, paths, progress, drawn_of)
    if not drawn:
        raise UsageError(
            f"recipe {recipe.name!r}: none of {len(paths):,} images is usable; expected images to fit a codebook on"
        )
    return tuple(
        vocabulary_of(method).fit(
            np.concatenate(rows),
            words=words,
            counts=[len(each) for each in rows],
            dimension=dimension or (LOCAL_DIMENSION if rows[0].shape[1] > LOCAL_DIMENSION else None),
            seed=seed,
        )
        for rows in drawn
    )


def _check_code(recipe: Recipe, code: str) -> None:
    """Raise an error if `code` is unknown, or `recipe` cannot have one; "" is no code."""
    if code:
        check_known("code", code, CODES, error=UsageError)
    replace(recipe, code=code)  # raises if the recipe contradicts it


def _check_whitening(
    recipe: Recipe, *, whiten: bool, dimension: int | None = None, pairs: Sequence[tuple[Path, Path]] = ()
) -> None:
    """Raise `UsageError` for a whitening that the recipe cannot use, or arguments of one that is not fitted."""
    if whiten and recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
        raise UsageError(f"{recipe.embedding} compares visual words, which are not whitened; fit without a whitening")
    if not whiten and (dimension or pairs):
        raise UsageError("dimension and pairs apply to a whitening, and none is fitted; leave them out, or fit one")
    if pairs:
        check_one_vector(recipe, "pairs")


def check_one_vector(recipe: Recipe, what: str) -> None:
    """Raise `UsageError` for a recipe of several taps or several vectors per image; `what` needs one."""
    if len(recipe.taps) > 1 or recipe.multi_vector:
        raise UsageError(f"recipe {recipe.name!r}: {what} need one vector per image, of one tap")


def usable_vectors(
    describer: Describer, images: Iterable[Path], progress: Progress | None = None
) -> tuple[list[int], Vectors]:
    """Return the positions of the usable images, and their vectors (n, D).

    Raises `UsageError` if there are images and none is usable.
    """
    usable = _usable(describer, images, progress)
    found = {described.key: described.vector for described in usable if described.vector is not None}
    numbers = sorted(found)
    return numbers, np.stack([found[key] for key in numbers]) if found else np.empty(
        (0, describer.dimension), np.float32
    )


def _vectors(describer: Describer, images: Iterable[Path], progress: Progress | None = None) -> Vectors:
    return usable_vectors(describer, images, progress)[1]


def _rows(describer: Describer, images: Iterable[Path], progress: Progress | None = None) -> Vectors:
    """Return the rows (n, D) of all usable images, of each as many, at most `CODED_ROWS` in all."""
    paths = list(images)
    share = max(1, CODED_ROWS // max(1, len(paths)))
    found: dict[int, Vectors] = {}
    for described in _usable(describer, paths, progress):
        if described.vectors is not None:
            own = described.vectors
            found[described.key] = own if len(own) <= share else own[:: -(-len(own) // share)]
    return (
        np.concatenate([found[key] for key in sorted(found)])
        if found
        else np.empty((0, describer.dimension), np.float32)
    )


def _poolings(
    recipe: Recipe, pooling: FittedPooling, images: Iterable[Path], progress: Progress | None
) -> tuple[Mapping[str, NDArray[Any]], ...]:
    """Fit the parameters of the recipe's pooling, for each tap, on the rows that it gathers."""
    gathered = _by_tap(recipe, list(images), progress, lambda rows: rows)
    return tuple(pooling.fit(np.concatenate(rows)) for rows in gathered)


def _by_tap(
    recipe: Recipe, images: Sequence[Path], progress: Progress | None, select: Callable[[Vectors], Vectors]
) -> list[list[Vectors]]:
    """Return `select(rows)` of the rows of every image, for each tap."""
    taps: list[list[Vectors]] = []
    for features in _raw_features(open_extractor(recipe), images, progress):
        taps.extend([] for _ in features.rows[len(taps) :])
        for collected, rows in zip(taps, features.rows, strict=True):
            collected.append(select(rows))
    return taps


def _whitenings(
    describer: Describer, images: Iterable[Path], *, dimension: int | None, power: float, progress: Progress | None
) -> tuple[Whitening, ...]:
    """Fit a whitening for each tap; each takes one pass over the images.

    With several taps, one of fewer components than `dimension` keeps all of them.
    """
    _check_whitening(describer.recipe, whiten=True)
    paths = list(images)

    def rows(tap: int) -> Iterator[Vectors]:
        collected: list[Vectors] = []
        for features in _raw_features(describer.extractor, paths, progress):
            collected.append(describer.encoder.unwhitened([features], tap))
            if sum(map(len, collected)) >= WHITENING_ROWS:
                yield np.concatenate(collected)
                collected.clear()
        if collected:
            yield np.concatenate(collected)

    taps = max(1, len(describer.recipe.taps))
    dimensions = [dimension] * taps
    if dimension is not None:
        sample = describer.extractor.sample()
        widths = [describer.encoder.unwhitened([sample], tap).shape[1] for tap in range(taps)]
        if taps == 1:
            check_dimension(dimension, widths[0])
        dimensions = [min(dimension, width) for width in widths]
    return tuple(PCAWhitening.fit(rows(tap), dimension=dimensions[tap], power=power) for tap in range(taps))


def _usable(describer: Describer, images: Iterable[Path], progress: Progress | None) -> Iterator[Description[int]]:
    """Yield the description of every usable image, with its position as the key, in any order.

    Raises `UsageError` if there are images and none is usable.
    """
    errors: list[ImageError] = []
    done = 0
    with closing(describer.stream(enumerate(images))) as descriptions:
        for done, described in enumerate(descriptions, 1):
            if progress is not None:
                progress(done)
            if described.error is None:
                yield described
            else:
                errors.append(described.error)
    _check_usable(errors, done)


def _raw_features(
    extractor: Extractor, images: Sequence[Path], progress: Progress | None
) -> Iterator[RawFeatures[int]]:
    """Yield the raw features of every usable image; raises `UsageError` if none is."""
    errors: list[ImageError] = []
    with closing(extractor.stream(enumerate(images))) as groups:
        for done, each in enumerate(chain.from_iterable(groups), 1):
            if progress is not None:
                progress(done)
            if isinstance(each, RawFeatures):
                yield each
            elif each.error is not None:
                errors.append(each.error)
    _check_usable(errors, len(images))


def _check_usable(errors: Sequence[ImageError], images: int) -> None:
    """Raise `UsageError` with the first errors if all of the images are unusable."""
    if errors and len(errors) == images:
        more = f"; and {len(errors) - NAMED:,} more" if len(errors) > NAMED else ""
        named = "; ".join(str(error) for error in errors[:NAMED])
        raise UsageError(f"none of the {images:,} images to fit on can be used: {named}{more}")
