"""Fit: learn the codebook, whitening and code that a recipe needs, on images other than those to be searched."""

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
from kindred.describer.description import RawFeatures
from kindred.describer.encoder import FittedParameters, embedding_of, vocabulary_of
from kindred.describer.extractor import Extractor
from kindred.describer.fitted import write_recipe
from kindred.describer.pooled import strongest
from kindred.embedding import MULTI_VECTOR_EMBEDDINGS, Codebook, FittedVocabulary, WordQuantizer
from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.pooling import POOLINGS, FittedPooling
from kindred.recipe import Recipe
from kindred.whitening import LearnedWhitening, PCAWhitening, Whitening

__all__ = ["Fitted", "fit_code", "fit_codebook", "fit_pair_whitening", "fit_recipe", "fit_whitening", "fit_words"]

Progress = Callable[[int], None]

HELD_ROWS = 4096  # rows that are handed to the whitening at a time
LOCAL_DIMENSION = 128  # to which longer local descriptors are reduced before their words are learned
SAMPLED = 1 << 19  # descriptors that a codebook is learned on, at most, of each tap


@dataclass(frozen=True, eq=False)
class Fitted:
    """A recipe with what was learned for it: on how many images, to vectors of which dimension."""

    recipe: Recipe
    fitted: FittedParameters
    images: int
    dimension: int
    identity: Mapping[str, object]

    def save(self, file: Path) -> list[Path]:
        """Write the recipe as `file` (.toml) and what was learned beside it; return all the files."""
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
    bits: int = 256,
    feature_words: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Learn all that `recipe` needs and does not have: a codebook for an embedding, a whitening, a code.

    words: how many visual words, or components of a mixture. local_dimension: to which PCA reduces the local
    descriptors before; by default to 128 those that are longer. whiten: whether to learn a whitening, or else do
    without; by default one is learned, but not for ASMK, which compares words, nor where the recipe has one, a code is
    asked for and `dimension` does not ask for another. dimension, power: of the whitening. pairs: images that show
    the same, of which the whitening is learned, as by `fit_pair_whitening`. code, bits: a name of
    `kindred.codes.CODES`, learned on the vectors as they come to be, and its size. feature_words: how many visual words
    of the recipe's local features to learn (`fit_words`), 0 for none. Unusable images are left out.
    `progress` is called with the number of images looked at, in each round. Raises `UsageError` where there are too
    few, for an unknown code, or where the arguments contradict each other or the recipe.
    """
    _check_code(recipe, code)
    keeps = bool(code and recipe.whitening) and whiten is None and dimension is None and not pairs
    if whiten is None:
        whiten = bool(dimension or pairs) or not (keeps or recipe.embedding in MULTI_VECTOR_EMBEDDINGS)
    _check_whitening(recipe, whiten=whiten, dimension=dimension, pairs=pairs)
    quantizer = None
    if feature_words:
        quantizer = fit_words(recipe, images, words=feature_words, seed=seed, progress=progress)
        recipe = replace(recipe, words="")
    bare = replace(recipe, code="") if keeps else replace(recipe, code="", whitening="", dimension=0)
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
    learned = describer.fitted if keeps else replace(describer.fitted, whitenings=whitenings)
    if code:
        codes = fit_code(bare, images, code=code, bits=bits, fitted=learned, seed=seed, progress=progress)
        learned = replace(learned, codes=codes)
    if quantizer is not None:
        learned = replace(learned, words=quantizer)
    dimension = whitenings[0].dimension * len(whitenings) if whitenings else describer.dimension
    return Fitted(bare, learned, len(images), dimension, describer.extractor.identity)


def fit_code(
    recipe: Recipe,
    images: Iterable[Path],
    *,
    code: str = "itq",
    bits: int = 256,
    fitted: FittedParameters | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Code:
    """Learn a compact code of the vectors that `recipe` gives of `images`; unusable ones are left out.

    code, bits: a name of `kindred.codes.CODES`, and its size. fitted: take the place of the recipe's files. Raises
    `RecipeError` for a recipe whose vectors a code cannot stand for, `UsageError` for an unknown code, for too few
    images, or for a size that does not go with the vectors.
    """
    _check_code(recipe, code)
    describer = Describer(replace(recipe, code=""), fitted=None if fitted is None else replace(fitted, codes=None))
    return CODES[code].fitted.fit(_vectors(describer, images, progress), bits=bits, seed=seed)


def fit_words(
    recipe: Recipe, images: Iterable[Path], *, words: int = 4096, seed: int = 0, progress: Progress | None = None
) -> WordQuantizer:
    """Learn the visual words of the local features that `recipe` stores of `images`; unusable ones are left out.

    Raises `UsageError` where it stores none, or where there are too few.
    """
    if not recipe.stored_features:
        raise UsageError(f"recipe {recipe.name!r} stores no local features; set features, such as features=sift")
    paths = list(images)
    share = max(16, SAMPLED // max(1, len(paths)))
    rng = np.random.default_rng(seed)
    drawn: dict[int, Vectors] = {}
    with closing(Describer(replace(recipe, words="", code="")).stream(enumerate(paths))) as stream:
        for done, described in enumerate(stream, 1):
            if progress is not None:
                progress(done)
            if described.features is not None and len(described.features):
                drawn[described.key] = described.features.descriptors.astype(np.float32)
    if not drawn:
        raise UsageError(f"recipe {recipe.name!r}: no image to learn visual words from has local features")
    # In the order of the images, so that the same seed draws the same.
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
    """Learn a PCA whitening for `recipe` (of one tap) on `images`.

    Where passes, or R-MAC's regions, are whitened before they are summed, it is learned on the vectors of all of
    them (Tolias et al. 2016). Raises `UsageError` where there are too few.
    """
    describer = Describer(replace(recipe, whitening="", dimension=0))
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
    """Learn a whitening from pairs of images that show the same (Radenović et al. 2018), for a recipe of one tap.

    `images` are described for the directions that matter; unusable ones are left out. fitted: take the place of the
    recipe's files. Raises `ImageError` for one of a pair that cannot be used.
    """
    _check_pairs(recipe)
    describer = Describer(replace(recipe, whitening="", dimension=0), fitted=fitted)
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
    """Learn a codebook, or a mixture, for each tap of `recipe`, on the descriptors that it embeds.

    Of every image an equal share is drawn, so that all together are at most `SAMPLED`.
    """
    method = embedding_of(recipe)
    if not method:
        raise UsageError(f"recipe {recipe.name!r} embeds nothing; name an embedding")
    paths = list(images)
    share = max(16, SAMPLED // max(1, len(paths)))
    rng = np.random.default_rng(seed)

    def drawn_of(found: Vectors) -> Vectors:
        rows = strongest(found, recipe.positions)
        return rows[np.sort(rng.permutation(len(rows))[:share])]

    drawn = _by_tap(recipe, paths, progress, drawn_of)
    if not drawn:
        raise UsageError(f"recipe {recipe.name!r}: no image to learn a codebook from could be used")
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
    """Raise an error where there is no such code, or `recipe` cannot have one; "" is none."""
    if code:
        check_known("code", code, CODES, error=UsageError)
    replace(recipe, code=code)  # raises where the recipe contradicts it


def _check_whitening(
    recipe: Recipe, *, whiten: bool, dimension: int | None = None, pairs: Sequence[tuple[Path, Path]] = ()
) -> None:
    """Raise `UsageError` where a whitening is asked for that cannot be, or is of no use."""
    if whiten and recipe.embedding in MULTI_VECTOR_EMBEDDINGS:
        raise UsageError(f"{recipe.embedding} compares words, which a whitening does not serve; fit without one")
    if not whiten and (dimension or pairs):
        raise UsageError("dimension and pairs are of a whitening, and none is wanted; leave them out, or learn one")
    if pairs:
        _check_pairs(recipe)


def _check_pairs(recipe: Recipe) -> None:
    if len(recipe.taps) > 1 or recipe.multi_vector:
        raise UsageError(f"recipe {recipe.name!r}: pairs need one vector an image, of one tap")


def _vectors(describer: Describer, images: Iterable[Path], progress: Progress | None = None) -> Vectors:
    """Return the vectors (n, D) of the images that can be used, in order."""
    found: dict[int, Vectors] = {}
    with closing(describer.stream(enumerate(images))) as answers:
        for done, described in enumerate(answers, 1):
            if progress is not None:
                progress(done)
            if described.vector is not None:
                found[described.key] = described.vector
    rows = [found[key] for key in sorted(found)]
    return np.stack(rows) if rows else np.empty((0, describer.dimension), np.float32)


def _poolings(
    recipe: Recipe, learning: FittedPooling, images: Iterable[Path], progress: Progress | None
) -> tuple[Mapping[str, NDArray[Any]], ...]:
    """Learn what the recipe's pooling needs, for each tap, on the rows that it gathers."""
    gathered = _by_tap(recipe, list(images), progress, lambda rows: rows)
    return tuple(learning.fit(np.concatenate(rows)) for rows in gathered)


def _by_tap(
    recipe: Recipe, images: Sequence[Path], progress: Progress | None, taken: Callable[[Vectors], Vectors]
) -> list[list[Vectors]]:
    """Return for each tap what is `taken` of the rows of every image."""
    taps: list[list[Vectors]] = []
    for seen in _seen(open_extractor(recipe), images, progress):
        taps.extend([] for _ in seen.rows[len(taps) :])
        for held, rows in zip(taps, seen.rows, strict=True):
            held.append(taken(rows))
    return taps


def _whitenings(
    describer: Describer, images: Iterable[Path], *, dimension: int | None, power: float, progress: Progress | None
) -> tuple[Whitening, ...]:
    """Learn a whitening for each tap; every tap is a round of its own over the images.

    Of several taps one that has fewer components than `dimension` keeps all of them.
    """
    _check_whitening(describer.recipe, whiten=True)
    paths = list(images)

    def rows(tap: int) -> Iterator[Vectors]:
        held: list[Vectors] = []
        for seen in _seen(describer.extractor, paths, progress):
            held.append(describer.encoder.to_whiten([seen], tap))
            if sum(map(len, held)) >= HELD_ROWS:
                yield np.concatenate(held)
                held.clear()
        if held:
            yield np.concatenate(held)

    taps = max(1, len(describer.recipe.taps))
    kept = [dimension] * taps
    if dimension is not None and taps > 1:
        sample = describer.extractor.sample()
        kept = [min(dimension, describer.encoder.to_whiten([sample], tap).shape[1]) for tap in range(taps)]
    return tuple(PCAWhitening.fit(rows(tap), dimension=kept[tap], power=power) for tap in range(taps))


def _seen(source: Extractor, images: Sequence[Path], progress: Progress | None) -> Iterator[RawFeatures[int]]:
    """Yield what the network sees of every image that can be used."""
    with closing(source.stream(enumerate(images))) as found:
        for done, each in enumerate(chain.from_iterable(found), 1):
            if progress is not None:
                progress(done)
            if isinstance(each, RawFeatures):
                yield each
