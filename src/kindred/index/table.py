"""The table of indexes, by name: which recipes each serves, and how it is opened over a store.

A library, an evaluation and whatever else searches asks `index_for`. A new index is a file, a line in `INDEXES` and the
contract tests that run over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from kindred.embedding import EMBEDDINGS
from kindred.errors import UsageError
from kindred.index.hnsw_settings import HNSW_SIMILARITIES
from kindred.index.protocol import Index, RowSource
from kindred.index.snapshot import SnapshotIndex, SnapshotPolicy
from kindred.matching import Option
from kindred.recipe import Recipe
from kindred.store import Store

if TYPE_CHECKING:
    from kindred.codes import Code

__all__ = ["INDEXES", "IndexEntry", "IndexSettings", "choose_index", "index_for"]

Compares = Literal["vectors", "codes", "words", "rows", "local features"]


@dataclass(frozen=True)
class IndexSettings:
    """What an index is opened with, beside the recipe and the rows.

    folder: where it may store what is derived; the rows are then those of a `Store`. policy: when that is worth its
    while. code: that of the recipe. rescore: whether the best by code are scored again by their vectors. options: those
    of the matching of rows.
    """

    folder: Path | None = None
    policy: SnapshotPolicy = field(default_factory=SnapshotPolicy)
    code: Code | None = None
    rescore: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexEntry:
    """One entry of INDEXES.

    summary: what it does, in a few words.
    serves: whether it can search images that are described by a recipe.
    open: recipe, rows, settings → the index. Nothing is read before the first search.
    compares: the stored "vectors" themselves, their "codes", vectors of visual "words", all "rows" of images, or the
    visual words of their "local features". The rankings of rows hold numbers of images, others ids of vectors.
    approximate: whether it may miss an answer, or choose by less than the whole vector.
    exhaustive: whether it is an `ExhaustiveIndex`, which can score all that there is.
    """

    summary: str
    serves: Callable[[Recipe], bool]
    open: Callable[[Recipe, RowSource, IndexSettings], Index]
    compares: Compares
    approximate: bool = False
    exhaustive: bool = True


def _open_rows(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.multi_vector import MultiVectorIndex
    from kindred.index.synced_rows import SyncedRows

    options = dict(settings.options)
    return SyncedRows(source, lambda width: MultiVectorIndex(width, method=recipe.row_matching, options=options))


def _open_codes(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.coded import CodedIndex
    from kindred.index.synced import SyncedIndex

    if settings.code is None:
        raise UsageError(f"recipe {recipe.name!r}: is searched by a code, and none was given; open it by its library")
    rescore = source.fetch if settings.rescore else None
    engine = CodedIndex(settings.code, similarity=recipe.similarity, rescore=rescore)
    return SyncedIndex(source, engine, approximate=True)


def _open_words(_recipe: Recipe, source: RowSource, _settings: IndexSettings) -> Index:
    from kindred.index.inverted import InvertedFile
    from kindred.index.synced import SyncedIndex

    return SyncedIndex(source, InvertedFile(source.dimension or 1))


def _open_signatures(_recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.synced_words import SyncedWords

    return SyncedWords(source, folder=settings.folder, policy=settings.policy)


def _open_graph(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    if settings.folder is None:  # rows in memory
        return _open_exact(recipe, source, settings)
    dimension, store = source.dimension or 1, cast(Store, source)
    return SnapshotIndex(
        settings.folder, store, dimension=dimension, similarity=recipe.similarity, policy=settings.policy
    )


def _open_exact(recipe: Recipe, source: RowSource, _settings: IndexSettings) -> Index:
    from kindred.index.exact import ExactIndex
    from kindred.index.synced import SyncedIndex

    return SyncedIndex(source, ExactIndex(source.dimension or 1, similarity=recipe.similarity))


def _of_sparse_words(recipe: Recipe) -> bool:
    """Return whether vectors are mostly zeros, none negative, and compared by their cosine."""
    entry = EMBEDDINGS.get(recipe.embedding)
    return entry is not None and entry.sparse and not recipe.whitening and recipe.similarity == "cosine"


INDEXES: dict[str, IndexEntry] = {
    "multi_vector": IndexEntry(
        "images of several rows each, compared as the recipe's matching has it",
        lambda recipe: recipe.multi_vector,
        _open_rows,
        "rows",
    ),
    "coded": IndexEntry(
        "some bytes of each vector; the best by them are scored by their vectors",
        lambda recipe: bool(recipe.code),
        _open_codes,
        "codes",
        approximate=True,
    ),
    "inverted": IndexEntry("for each visual word the images that have it", _of_sparse_words, _open_words, "words"),
    "hnsw": IndexEntry(
        "a graph of neighbours, in a file; below some number of vectors a comparison with all",
        lambda recipe: recipe.similarity in HNSW_SIMILARITIES,
        _open_graph,
        "vectors",
        approximate=True,
        exhaustive=False,
    ),
    "exact": IndexEntry("a comparison with all vectors, in memory", lambda _: True, _open_exact, "vectors"),
    "hamming": IndexEntry(
        "for each visual word the images that have it, by the signatures of their local features",
        lambda recipe: bool(recipe.words),
        _open_signatures,
        "local features",
    ),
}
"""In order of preference: the first that serves a recipe is taken. The last finds candidates beside that one."""


def choose_index(recipe: Recipe, *, compares: Compares | None = None, exhaustive: bool = False) -> str:
    """Return the name of the first of INDEXES that serves a recipe.

    compares: take only one that compares these. exhaustive: take only one that can score all that there is.
    """
    return next(
        name
        for name, entry in INDEXES.items()
        if entry.serves(recipe)
        and (compares is None or entry.compares == compares)
        and (entry.exhaustive or not exhaustive)
    )


def index_for(
    recipe: Recipe, source: RowSource, settings: IndexSettings | None = None, *, exhaustive: bool = False
) -> Index:
    """Open the index that serves a recipe over a store, or over rows in memory (`choose_index` says which)."""
    return INDEXES[choose_index(recipe, exhaustive=exhaustive)].open(recipe, source, settings or IndexSettings())
