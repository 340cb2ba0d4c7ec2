"""Interfaces of indexes, of the row sources that they read, and of the engines that they wrap.

An `Index` searches the rows of a `RowSource` (a store, or rows in memory) and stays in step with it. Most wrap an
`Engine`, which handles rows and ids only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.id_map import IdMap
from kindred.matching import ImageRows
from kindred.ranking import Ranking
from kindred.store import Filter, RowBatch, VisualWords, WordBatch
from kindred.store.protocol import VectorBatch

__all__ = ["Engine", "ExhaustiveEngine", "ExhaustiveIndex", "Index", "Queries", "RowSource"]

Queries: TypeAlias = "ArrayLike | ImageRows | VisualWords"
"""Vectors (Q, D), or the rows or the visual words of one query image; each index accepts one of these.

Each pass over a query whose words are searched is a query of its own.
"""

Query = TypeVar("Query", contravariant=True)


class RowSource(Protocol):
    """The rows that an index reads; every `kindred.store.Store` is a row source."""

    @property
    def dimension(self) -> int | None:
        """The dimension D of the rows; None if there are no rows."""
        ...

    @property
    def revision(self) -> int:
        """A number that increases with every committed change."""
        ...

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which rows were last added or removed."""
        ...

    def select(self, where: Filter, /) -> NDArray[np.int64]:
        """Return the vector ids of all images that pass the filter `where`, (n,) ascending."""
        ...

    def select_images(self, where: Filter, /) -> NDArray[np.int64]:
        """Return the ids of all images that pass the filter `where`, (n,) ascending."""
        ...

    def vectors(
        self, *, after_id: int = 0, batch: int = 4096
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield all vectors with an id above `after_id`, in order of id, as (ids (n,), rows (n, D))."""
        ...

    def fetch(self, vector_ids: NDArray[np.int64], /) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; deleted ids are omitted."""
        ...

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, or of the ids `images` (n,), in order of image."""
        ...

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words)."""
        ...

    def removed_since(self, revision: int, /) -> NDArray[np.int64]:
        """Return the ids of the vectors removed after `revision`, (n,) ascending."""
        ...

    def changed_since(self, revision: int, /) -> NDArray[np.int64]:
        """Return the ids of the images whose rows changed or were removed after `revision`, (n,) ascending."""
        ...


class Index(Protocol):
    """Search over the rows of a source. Thread-safe."""

    def __len__(self) -> int:
        """Return the number of searchable vectors, or of images if each has several rows, as of the last `sync`."""
        ...

    @property
    def nbytes(self) -> int:
        """Size in bytes, without ids."""
        ...

    @property
    def approximate(self) -> bool:
        """Whether a result may be missed, or scored by a compressed row."""
        ...

    def sync(self) -> None:
        """Apply the changes that any process has committed since the last call; fast if no rows changed."""
        ...

    def renew(self) -> None:
        """Rebuild the index's own files if that is due; it may take long."""
        ...

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` ids for each query, or all if there are fewer, including all changes committed so far.

        where: only images that pass this filter. Equal scores are ordered by id. The ranking is at most as wide as the
        number of rows. Raises UsageError for queries of the wrong kind or dimension, or k below 1.
        """
        ...


@runtime_checkable
class ExhaustiveIndex(Index, Protocol):
    """An index that compares a query with all rows, and can return every score."""

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all rows or images, in order of id."""
        ...


class Engine(Protocol[Query]):
    """In-memory search of rows by id, for one kind of query.

    One thread at a time may change it; searches may run at the same time.
    """

    def __len__(self) -> int:
        """Return the number of live rows, or of live images if each has several rows."""
        ...

    @property
    def live(self) -> IdMap:
        """The ids of the rows, live or removed."""
        ...

    @property
    def nbytes(self) -> int:
        """Size in bytes, without ids."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        ...

    def search(self, queries: Query, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k`, or all if there are fewer; `allowed` restricts the search to those ids (n,)."""
        ...


class ExhaustiveEngine(Engine[Query], Protocol):
    """An engine that compares a query with all that there is."""

    def scores(self, queries: Query) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all rows or images, in order of id."""
        ...
