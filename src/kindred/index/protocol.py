"""What an index is, what it reads, and what it may be made of.

An `Index` searches what a `RowSource` holds, and follows it: a store, or rows in memory. Most are made of an `Engine`,
which knows rows and ids alone.
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
"""Vectors (Q, D), or the rows or the visual words of one query image: an index takes one of these."""

Asked = TypeVar("Asked", contravariant=True)


class RowSource(Protocol):
    """What an index reads: every `kindred.store.Store` is one."""

    @property
    def dimension(self) -> int | None:
        """D of every row; None while there is none."""
        ...

    @property
    def revision(self) -> int:
        """A number that grows with every committed change."""
        ...

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which rows were last added or removed."""
        ...

    def select(self, where: Filter, /) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that `where` lets through, (n,) ascending."""
        ...

    def select_images(self, where: Filter, /) -> NDArray[np.int64]:
        """Return the numbers of all images that `where` lets through, (n,) ascending."""
        ...

    def vectors(
        self, *, after_id: int = 0, batch: int = 4096
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield all vectors with an id above `after_id`, in order of id, as (ids (n,), rows (n, D))."""
        ...

    def fetch(self, vector_ids: NDArray[np.int64], /) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; ids that are gone are left out."""
        ...

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, in order of image; of those numbered `images` (n,) only, where given."""
        ...

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words)."""
        ...

    def removed_since(self, revision: int, /) -> NDArray[np.int64]:
        """Return the ids of the vectors that went away after `revision`, (n,) ascending."""
        ...

    def changed_since(self, revision: int, /) -> NDArray[np.int64]:
        """Return the numbers of the images whose rows changed or went away after `revision`, (n,) ascending."""
        ...


class Index(Protocol):
    """A search over what a source holds. Any thread may use it."""

    def __len__(self) -> int:
        """Return the number of rows, or images of several rows, that can be found, as of the last `sync`."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it takes, without ids."""
        ...

    @property
    def approximate(self) -> bool:
        """Whether an answer may be missed, or scored by less than the whole of a row."""
        ...

    def sync(self) -> None:
        """Take over what any process committed since the last call; next to nothing where no rows changed."""
        ...

    def renew(self) -> None:
        """Bring what it stores beside the source up to date, where that is due; it may take long."""
        ...

    def search(self, queries: Queries, k: int, *, where: Filter | None = None) -> Ranking:
        """Return the best `k` ids for each query, or all where there are fewer, with all that was committed before.

        Among those images only that `where` lets through. Equal scores are ordered by id. The ranking is no wider
        than there are rows. Raises UsageError for queries of another kind or width, or k below 1.
        """
        ...


@runtime_checkable
class ExhaustiveIndex(Index, Protocol):
    """An index that compares a query with all that there is, and can return every score."""

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all that can be found, in order of id."""
        ...


class Engine(Protocol[Asked]):
    """Rows under ids, in memory, for queries of one kind.

    One thread at a time may change it; searches may run beside that.
    """

    def __len__(self) -> int:
        """Return the number of rows, or images of several rows, that can be found."""
        ...

    @property
    def live(self) -> IdMap:
        """The ids."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it takes, without ids."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Make rows impossible to find; ids that are not here are passed over. Return how many were."""
        ...

    def search(self, queries: Asked, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k`, or all where there are fewer, among the ids in `allowed` only if that is given."""
        ...


class ExhaustiveEngine(Engine[Asked], Protocol):
    """An engine that compares a query with all that there is."""

    def scores(self, queries: Asked) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all that can be found, in order of id."""
        ...
