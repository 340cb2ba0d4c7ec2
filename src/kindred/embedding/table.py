"""The tables of embeddings, and `embed` and `embed_multi_vector`, which take a name from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Array, ArrayT, Vectors, like
from kindred.embedding.asmk import asmk
from kindred.embedding.bow import bag_of_words
from kindred.embedding.codebook import Codebook
from kindred.embedding.fisher import fisher
from kindred.embedding.mixture import Mixture
from kindred.embedding.netvlad import netvlad, netvlad_weights
from kindred.embedding.vlad import vlad
from kindred.errors import RecipeError, UsageError
from kindred.hints import check_known, check_options, options_of

__all__ = [
    "EMBEDDINGS",
    "MULTI_VECTOR_EMBEDDINGS",
    "VOCABULARIES",
    "Embedding",
    "FittedVocabulary",
    "MultiVectorEmbedding",
    "embed",
    "embed_multi_vector",
]

FittedVocabulary: TypeAlias = Codebook | Mixture
Option: TypeAlias = bool | int | float | str
VOCABULARIES: dict[str, type[Codebook] | type[Mixture]] = {"codebook": Codebook, "mixture": Mixture}
"""The fitted vocabularies that embeddings need, by name."""


@dataclass(frozen=True)
class Embedding:
    """One entry of EMBEDDINGS.

    function: prepared descriptors (M, D), counts (B,), the vocabulary, and options by name → vectors (B, D').
    summary: what it does, in a few words.
    source: author and year, for the documentation.
    vocabulary: a name of VOCABULARIES.
    dimension: the vocabulary, and the function's options by name → D'.
    sparse: whether most components are 0 and none is negative.
    """

    function: Callable[..., Array]
    summary: str
    source: str
    vocabulary: str
    dimension: Callable[..., int]
    sparse: bool = False


@dataclass(frozen=True)
class MultiVectorEmbedding:
    """One entry of MULTI_VECTOR_EMBEDDINGS.

    function: prepared descriptors (M, D), counts (B,), the vocabulary, and options by name → owners (n,), words (n,),
    vectors (n, D).
    summary, source, vocabulary: as in `Embedding`.
    matching: the name of `kindred.matching.MATCHINGS` that compares such images.
    query_options: the options of the function that apply to queries only.
    """

    function: Callable[..., tuple[NDArray[np.int64], NDArray[np.int64], Vectors]]
    summary: str
    source: str
    vocabulary: str
    matching: str
    query_options: tuple[str, ...]


def _bow(rows: ArrayT, counts: ArrayLike, codebook: Codebook, *, idf: bool = True, sqrt: bool = False) -> ArrayT:
    return bag_of_words(rows, counts, codebook.centres, idf=codebook.idf if idf else None, sqrt=sqrt)


def _vlad(
    rows: ArrayT, counts: ArrayLike, codebook: Codebook, *, normalise: str = "plain", mean: bool = False
) -> ArrayT:
    return vlad(rows, counts, codebook.centres, normalise=normalise, mean=mean)


def _netvlad(rows: ArrayT, counts: ArrayLike, codebook: Codebook, *, start: str = "v1", alpha: float = 0.0) -> ArrayT:
    weights, biases = netvlad_weights(codebook, start=start, alpha=alpha)
    vectors: ArrayT = netvlad(rows, counts, *(like(each, rows) for each in (weights, biases, codebook.centres)))
    return vectors


def _asmk(
    rows: Vectors, counts: ArrayLike, codebook: Codebook, *, multiple: int = 1, binary: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], Vectors]:
    return asmk(rows, counts, codebook.centres, multiple=multiple, binary=binary)


def _words(vocabulary: FittedVocabulary, **_options: Option) -> int:
    return len(vocabulary)


def _words_by_components(vocabulary: FittedVocabulary, **_options: Option) -> int:
    return len(vocabulary) * vocabulary.dimension


def _gradients(vocabulary: FittedVocabulary, **_options: Option) -> int:
    return 2 * len(vocabulary) * vocabulary.dimension


EMBEDDINGS: dict[str, Embedding] = {
    "bow": Embedding(
        _bow,
        "histogram of words, weighted by their rarity (tf-idf)",
        "Sivic and Zisserman 2003",
        "codebook",
        _words,
        sparse=True,
    ),
    "vlad": Embedding(_vlad, "sum of residuals to each word", "Jégou et al. 2010", "codebook", _words_by_components),
    "fisher": Embedding(fisher, "gradients of a Gaussian mixture", "Perronnin et al. 2010", "mixture", _gradients),
    "netvlad": Embedding(
        _netvlad, "VLAD with soft assignment", "Arandjelović et al. 2016", "codebook", _words_by_components
    ),
}
"""Embeddings with one vector per image."""

MULTI_VECTOR_EMBEDDINGS: dict[str, MultiVectorEmbedding] = {
    "asmk": MultiVectorEmbedding(
        _asmk,
        "one residual for each word, matched word by word",
        "Tolias et al. 2016",
        "codebook",
        "asmk",
        ("multiple",),
    ),
}
"""Embeddings with several vectors per image, for `kindred.matching`."""


def embed(rows: ArrayT, counts: ArrayLike, method: str, vocabulary: FittedVocabulary, **options: Option) -> ArrayT:
    """Embed the local descriptors of B images by a name of EMBEDDINGS: rows (M, D₀) → vectors (B, D').

    `rows` are the stacked descriptors of all images, as the network returns them (`vocabulary` prepares them);
    `counts` (B,) is the number of each image, 0 gives a zero vector. Only Fisher vectors and NetVLAD are L2-normalised.
    NumPy or PyTorch; gradients flow. Raises RecipeError for an unknown name or option, UsageError for shapes that do
    not match and for a vocabulary of another method.
    """
    entry = _find(method, EMBEDDINGS, vocabulary, options)
    vectors: ArrayT = entry.function(vocabulary.prepare(rows), counts, vocabulary, **options)
    return vectors


def embed_multi_vector(
    rows: Vectors, counts: ArrayLike, method: str, vocabulary: FittedVocabulary, **options: Option
) -> tuple[NDArray[np.int64], NDArray[np.int64], Vectors]:
    """Embed the local descriptors of B images in several rows each: → owners (n,), words (n,), vectors (n, D).

    `method` is a name of MULTI_VECTOR_EMBEDDINGS. Owners are the numbers 0 … B − 1 of the images, ascending. All else
    is as in `embed`.
    """
    entry = _find(method, MULTI_VECTOR_EMBEDDINGS, vocabulary, options)
    owners, words, vectors = entry.function(vocabulary.prepare(rows), counts, vocabulary, **options)
    return owners, words, vectors


def _find(method: str, table: dict[str, Any], vocabulary: FittedVocabulary, options: dict[str, Option]) -> Any:
    """Return the entry of `method` after checking `vocabulary` and the names of `options`."""
    check_known("embedding", method, table, error=RecipeError)
    entry = table[method]
    check_options(f"embedding {method!r}", options, options_of(entry.function), error=RecipeError)
    if not isinstance(vocabulary, VOCABULARIES[entry.vocabulary]):
        raise UsageError(f"embedding {method!r}: got a {type(vocabulary).__name__}; expected a {entry.vocabulary}")
    return entry
