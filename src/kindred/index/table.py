"""The table of indexes by name: the recipes that each can search, and how it is opened over a store.

Libraries and evaluations call `index_for`. A new index is one file and one line in `INDEXES`; the contract tests run
over the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from kindred.embedding import EMBEDDINGS
from kindred.errors import UsageError
from kindred.index.hnsw_settings import HNSW_SIMILARITIES
from kindred.index.protocol import Index, RowSource
from kindred.index.records import Records
from kindred.index.snapshot import SnapshotIndex, SnapshotPolicy
from kindred.matching import ImageRows, Option
from kindred.recipe import Recipe
from kindred.store import Store

if TYPE_CHECKING:
    from kindred.codes import Code
    from kindred.index.milvus import MilvusUrl
    from kindred.index.milvus.server import MilvusServer

__all__ = ["INDEXES", "IndexEntry", "IndexSettings", "choose_index", "index_for"]

Compares = Literal["vectors", "codes", "words", "rows", "local features"]


@dataclass(frozen=True)
class IndexSettings:
    """Settings of an index in addition to the recipe and the rows.

    folder: where it may write its files; the source is then a `Store`. policy: when files are written. code: the
    compact code of the recipe. rescore: whether the best by code are rescored by their vectors. options: the options of
    row matching. records: where the current files are recorded, by default in the store. server: the address of a
    server that searches, if the user has given one; never one that a library names.
    """

    folder: Path | None = None
    policy: SnapshotPolicy = field(default_factory=SnapshotPolicy)
    code: Code | None = None
    rescore: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    records: Records | None = None
    server: MilvusUrl | None = None


@dataclass(frozen=True)
class IndexEntry:
    """One entry of INDEXES.

    summary: what it does, in a few words.
    serves: recipe → whether the index can search images described by it.
    open: recipe, rows, settings → the index. Nothing is read before the first search.
    compares: the stored "vectors", their "codes", vectors of visual "words", all "rows" of images, or the visual words
    of their "local features". With "rows", rankings hold image ids, otherwise vector ids.
    approximate: whether it may miss results, or select them by compressed vectors.
    exhaustive: whether it is an `ExhaustiveIndex`, which can return the scores of all rows.
    over: recipe, rows → whether the rows are in a store whose server searches them; None: it searches any rows.
    remote: whether it is on a server of its own, and only used if the user gives its address.
    """

    summary: str
    serves: Callable[[Recipe], bool]
    open: Callable[[Recipe, RowSource, IndexSettings], Index]
    compares: Compares
    approximate: bool = False
    exhaustive: bool = True
    over: Callable[[Recipe, RowSource], bool] | None = None
    remote: bool = False


def _open_rows(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.multi_vector import MultiVectorIndex
    from kindred.index.synced_rows import SyncedRows, rows_of

    options, code = dict(settings.options), settings.code if recipe.code else None

    def fetch(ids: NDArray[np.int64]) -> ImageRows:
        return rows_of(source, ids)

    def make(width: int) -> MultiVectorIndex:
        rescore = fetch if code is not None and settings.rescore else None
        return MultiVectorIndex(width, method=recipe.row_matching, options=options, code=code, rescore=rescore)

    return SyncedRows(source, make, approximate=code is not None)


def _open_codes(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.coded import CodedIndex
    from kindred.index.synced import SyncedIndex

    if settings.code is None:
        raise UsageError(
            f"recipe {recipe.name!r}: is searched by a code, and none was given; open it through its library"
        )
    rescore = source.fetch if settings.rescore else None
    engine = CodedIndex(settings.code, similarity=recipe.similarity, rescore=rescore)
    return SyncedIndex(source, engine, approximate=True)


def _open_words(_recipe: Recipe, source: RowSource, _settings: IndexSettings) -> Index:
    from kindred.index.inverted import InvertedFile
    from kindred.index.synced import SyncedIndex

    return SyncedIndex(source, InvertedFile(source.dimension or 1))


def _open_signatures(_recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.synced_words import SyncedWords

    return SyncedWords(source, folder=settings.folder, policy=settings.policy, records=settings.records)


def _open_graph(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    if settings.folder is None:  # rows in memory
        return _open_exact(recipe, source, settings)
    dimension, store = source.dimension or 1, cast(Store, source)
    return SnapshotIndex(
        settings.folder,
        store,
        dimension=dimension,
        similarity=recipe.similarity,
        policy=settings.policy,
        records=settings.records,
    )


def _in_postgres(recipe: Recipe, source: RowSource) -> bool:
    if "kindred.store.postgres.store" not in sys.modules:  # there is no such store
        return False
    from kindred.index.pgvector import serves

    return serves(source, recipe.similarity)


def _open_pgvector(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.pgvector import PgvectorIndex, SearchesVectors

    local = INDEXES[choose_index(recipe, compares="vectors")].open(recipe, source, settings)
    server = cast(SearchesVectors, source).vector_search
    return PgvectorIndex(cast(Store, source), server, local, similarity=recipe.similarity, policy=settings.policy)


def _vectors_in_milvus(recipe: Recipe) -> bool:
    return recipe.similarity in HNSW_SIMILARITIES


def _rows_in_milvus(recipe: Recipe) -> bool:
    return recipe.multi_vector and not recipe.embedding


def _open_milvus(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.milvus.index import MilvusIndex

    return MilvusIndex(
        cast(Store, source),
        _milvus_server(settings),
        dimension=source.dimension or 1,
        similarity=recipe.similarity,
        policy=settings.policy,
    )


def _open_milvus_rows(recipe: Recipe, source: RowSource, settings: IndexSettings) -> Index:
    from kindred.index.milvus.rows import MilvusRows
    from kindred.index.multi_vector import MultiVectorIndex

    options = dict(settings.options)
    return MilvusRows(
        cast(Store, source),
        _milvus_server(settings),
        lambda width: MultiVectorIndex(width, method=recipe.row_matching, options=options),
        dimension=source.dimension or 1,
        policy=settings.policy,
    )


def _milvus_server(settings: IndexSettings) -> MilvusServer:
    if settings.server is None:
        raise UsageError("an index in Milvus needs the address of a server, such as milvus://HOST:PORT/COLLECTION")
    from kindred.index.milvus.server import MilvusServer

    return MilvusServer(settings.server)


def _open_exact(recipe: Recipe, source: RowSource, _settings: IndexSettings) -> Index:
    from kindred.index.exact import ExactIndex
    from kindred.index.synced import SyncedIndex

    return SyncedIndex(source, ExactIndex(source.dimension or 1, similarity=recipe.similarity))


def _of_sparse_words(recipe: Recipe) -> bool:
    """Return whether vectors are sparse, non-negative, and compared by cosine."""
    entry = EMBEDDINGS.get(recipe.embedding)
    return entry is not None and entry.sparse and not recipe.whitening and recipe.similarity == "cosine"


INDEXES: dict[str, IndexEntry] = {
    "milvus_rows": IndexEntry(
        "images of several rows each by a Milvus server, which finds rows; their images are compared by the matching",
        _rows_in_milvus,
        _open_milvus_rows,
        "rows",
        approximate=True,
        exhaustive=False,
        remote=True,
    ),
    "milvus": IndexEntry(
        "by a Milvus server beside the store, whose address the user gives: a graph, lists or codes of all vectors",
        _vectors_in_milvus,
        _open_milvus,
        "vectors",
        approximate=True,
        exhaustive=False,
        remote=True,
    ),
    "multi_vector": IndexEntry(
        "images of several rows each, or their codes, compared by the recipe's matching",
        lambda recipe: recipe.multi_vector,
        _open_rows,
        "rows",
    ),
    "coded": IndexEntry(
        "compact codes of vectors; the best are rescored by their vectors",
        lambda recipe: bool(recipe.code) and not recipe.multi_vector,
        _open_codes,
        "codes",
        approximate=True,
    ),
    "inverted": IndexEntry("lists of the images that contain each visual word", _of_sparse_words, _open_words, "words"),
    "pgvector": IndexEntry(
        "by the PostgreSQL server that has them: exact comparison, or pgvector's graph above some number of vectors",
        lambda _: True,
        _open_pgvector,
        "vectors",
        approximate=True,
        exhaustive=False,
        over=_in_postgres,
    ),
    "hnsw": IndexEntry(
        "a graph of nearest neighbours, in a file; exact comparison up to some number of vectors",
        lambda recipe: recipe.similarity in HNSW_SIMILARITIES,
        _open_graph,
        "vectors",
        approximate=True,
        exhaustive=False,
    ),
    "exact": IndexEntry("exact comparison with all vectors, in memory", lambda _: True, _open_exact, "vectors"),
    "hamming": IndexEntry(
        "for each visual word the images that have it, by the signatures of their local features",
        lambda recipe: bool(recipe.words),
        _open_signatures,
        "local features",
    ),
}
"""In order of preference: the first that can search a recipe is used. The last finds additional candidates."""


def choose_index(
    recipe: Recipe,
    *,
    source: RowSource | None = None,
    compares: Compares | None = None,
    exhaustive: bool = False,
    remote: bool = False,
) -> str:
    """Return the name of the first of INDEXES that can search a recipe.

    source: the rows; None excludes indexes that depend on where they are. compares: only indexes that compare these.
    exhaustive: only indexes that can return the scores of all rows. remote: the index is on a server of its own; raises
    UsageError if none of these can search the recipe.
    """
    found = (
        name
        for name, entry in INDEXES.items()
        if entry.serves(recipe)
        and entry.remote == remote
        and (compares is None or entry.compares == compares)
        and (entry.exhaustive or not exhaustive)
        and (entry.over is None or (source is not None and entry.over(recipe, source)))
    )
    if (name := next(found, None)) is None:
        what = "visual words" if recipe.multi_vector else f"similarity {recipe.similarity}"
        raise UsageError(f"index: recipe {recipe.name!r} ({what}) is not searched by Milvus; leave out the address")
    return name


def index_for(
    recipe: Recipe, source: RowSource, settings: IndexSettings | None = None, *, exhaustive: bool = False
) -> Index:
    """Open the index of a recipe, as `choose_index` selects it, over a store or over rows in memory."""
    name = choose_index(recipe, source=source, exhaustive=exhaustive)
    return INDEXES[name].open(recipe, source, settings or IndexSettings())
