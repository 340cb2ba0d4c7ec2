"""The tables of embeddings, and the two functions that take a name from them."""

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
"""What an embedding learns first, by name."""


@dataclass(frozen=True)
class Embedding:
    """One entry of EMBEDDINGS.

    function: prepared descriptors (M, D), counts (B,), what was learned, and options by name → vectors (B, D').
    summary: what it does, in a few words.
    source: who described it, for the documentation.
    learned: a name of VOCABULARIES.
    dimension: what was learned, and the function's options by name → D'.
    sparse: whether most components are 0, and none is negative.
    """

    function: Callable[..., Array]
    summary: str
    source: str
    learned: str
    dimension: Callable[..., int]
    sparse: bool = False


@dataclass(frozen=True)
class MultiVectorEmbedding:
    """One entry of MULTI_VECTOR_EMBEDDINGS.

    function: prepared descriptors (M, D), counts (B,), what was learned, and options by name → owners (n,), words
    (n,), vectors (n, D).
    summary, source, learned: as in `Embedding`.
    matching: the name of `kindred.matching.MATCHINGS` that compares such images.
    query_options: those of the function that queries take otherwise than the images that are searched.
    """

    function: Callable[..., tuple[NDArray[np.int64], NDArray[np.int64], Vectors]]
    summary: str
    source: str
    learned: str
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


def _words(learned: FittedVocabulary, **_options: Option) -> int:
    return len(learned)


def _words_by_components(learned: FittedVocabulary, **_options: Option) -> int:
    return len(learned) * learned.dimension


def _gradients(learned: FittedVocabulary, **_options: Option) -> int:
    return 2 * len(learned) * learned.dimension


EMBEDDINGS: dict[str, Embedding] = {
    "bow": Embedding(
        _bow,
        "how often each word comes, weighted by rarity",
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
"""Embeddings that make one vector of an image."""

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
"""Embeddings that keep several vectors of an image, for `kindred.matching`."""


def embed(rows: ArrayT, counts: ArrayLike, method: str, learned: FittedVocabulary, **options: Option) -> ArrayT:
    """Embed the local descriptors of B images by a name of EMBEDDINGS: rows (M, D₀) → vectors (B, D').

    `rows` are the descriptors of all images, stacked, as the network gives them (`learned` prepares them); `counts`
    (B,) says how many each image has, 0 gives a vector of 0. Only Fisher vectors and NetVLAD end as unit vectors.
    NumPy or PyTorch; gradients flow. Raises RecipeError for an unknown name or option, UsageError for shapes that do
    not fit or something learned for another method.
    """
    entry = _find(method, EMBEDDINGS, learned, options)
    vectors: ArrayT = entry.function(learned.prepare(rows), counts, learned, **options)
    return vectors


def embed_multi_vector(
    rows: Vectors, counts: ArrayLike, method: str, learned: FittedVocabulary, **options: Option
) -> tuple[NDArray[np.int64], NDArray[np.int64], Vectors]:
    """Embed the local descriptors of B images, several rows an image: → owners (n,), words (n,), vectors (n, D).

    `method` is a name of MULTI_VECTOR_EMBEDDINGS.
    Owners are the numbers of the images, 0 … B − 1, ascending. The rest is as `embed` has it.
    """
    entry = _find(method, MULTI_VECTOR_EMBEDDINGS, learned, options)
    owners, words, vectors = entry.function(learned.prepare(rows), counts, learned, **options)
    return owners, words, vectors


def _find(method: str, table: dict[str, Any], learned: FittedVocabulary, options: dict[str, Option]) -> Any:
    """Return the entry of `method`, with `learned` and the names of `options` checked."""
    check_known("embedding", method, table, error=RecipeError)
    entry = table[method]
    check_options(f"embedding {method!r}", options, options_of(entry.function), error=RecipeError)
    if not isinstance(learned, VOCABULARIES[entry.learned]):
        raise UsageError(f"embedding {method!r}: got a {type(learned).__name__}; expected a {entry.learned}")
    return entry
