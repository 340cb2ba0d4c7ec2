"""ManifoldEmbedding: vectors laid out along their manifold, in which one can search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_whole, l2_normalise
from kindred.errors import MissingExtra, ModelError, UsageError
from kindred.hints import check_known
from kindred.manifold.graph import nearest
from kindred.manifold.isomap import Isomap
from kindred.manifold.spectral import Spectral

__all__ = ["EMBEDDINGS", "ManifoldEmbedding", "check_enough"]

EMBEDDINGS: dict[str, type[Spectral] | type[Isomap]] = {"spectral": Spectral, "isomap": Isomap}
"""The maps that have a place for a vector that they were not made of."""

NEIGHBOURS = {"spectral": 10, "isomap": 4}
"""What did best with 1,500 vectors of grocery products, by the recipe kin."""


@dataclass(frozen=True, eq=False)
class ManifoldEmbedding:
    """A second description of N vectors, of their places in the manifold that they form.

    vectors: (N, D) float32, those learned from. method: a name of EMBEDDINGS. layout: what was learned.
    """

    vectors: Vectors
    method: str
    layout: Spectral | Isomap

    def __post_init__(self) -> None:
        if len(self.layout) != len(self.vectors):
            raise UsageError(f"vectors: got {len(self.vectors)}; expected {len(self.layout)}, those laid out")

    @classmethod
    def fit(
        cls,
        rows: Vectors,
        method: str = "spectral",
        *,
        dimension: int = 64,
        neighbours: int | None = None,
        seed: int = 0,
    ) -> ManifoldEmbedding:
        """Learn from all vectors that are to be searched, rows (N, D).

        neighbours: how many are near each, less where there are not so many; the more, the coarser the picture; None
        is 10 for "spectral" and 4 for "isomap". Isomap may come to fewer than `dimension` numbers, where the ways have
        no more. Raises UsageError for an unknown method and for fewer than `dimension` + 2 rows, MissingExtra where a
        package is not installed.
        """
        check_known("manifold", method, EMBEDDINGS, error=UsageError)
        if find_spec("scipy") is None:
            raise MissingExtra(f"the manifold {method!r}", "maps")
        vectors = as_rows(rows, "rows")
        near = NEIGHBOURS[method] if neighbours is None else neighbours
        check_whole(dimension=dimension, neighbours=near)
        check_enough(len(vectors), dimension=dimension)
        near = min(near, len(vectors) - 1)
        layout = EMBEDDINGS[method].fit(vectors, dimension=dimension, neighbours=near, seed=seed)
        return cls(vectors, method, layout)

    @cached_property
    def rows_(self) -> Vectors:
        """The unit vectors (N, d) to search among, in the order of the rows learned from."""
        return l2_normalise(self.layout.coordinates)

    @property
    def dimension(self) -> int:
        """d of `rows_`."""
        return int(self.rows_.shape[1])

    def transform(self, queries: Vectors) -> Vectors:
        """Find the places of vectors (Q, D) among those learned from: unit vectors (Q, d) to search `rows_` with."""
        rows = as_rows(queries, "queries")
        if rows.shape[1] != self.vectors.shape[1]:
            raise UsageError(f"queries: got shape {rows.shape}; expected (Q, {self.vectors.shape[1]})")
        if not len(rows):
            return np.empty((0, self.dimension), np.float32)
        return l2_normalise(self.layout.extend(*nearest(self.vectors, rows, self.layout.reach)))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be kept, for `numpy.savez`."""
        return {"method": np.array(self.method), "vectors": self.vectors, **self.layout.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ManifoldEmbedding:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
        try:
            method = str(arrays["method"])
            layout = EMBEDDINGS[method].from_arrays(arrays)
            return cls(as_rows(arrays["vectors"], "vectors"), method, layout)
        except (KeyError, UsageError, TypeError, ValueError) as error:
            raise ModelError(f"manifold: damaged or missing ({error}); fit it again") from None


def check_enough(count: int, *, dimension: int) -> None:
    """Raise UsageError where so few rows have no manifold of `dimension` dimensions."""
    if count < dimension + 2:
        raise UsageError(
            f"got {count} vectors to lay out in {dimension} dimensions; expected at least {dimension + 2}: "
            "add images or ask for fewer dimensions"
        )
