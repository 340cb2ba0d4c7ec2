"""ManifoldEmbedding: vectors embedded along their manifold, to search in."""

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

__all__ = ["EMBEDDINGS", "ManifoldEmbedding", "check_count"]

EMBEDDINGS: dict[str, type[Spectral] | type[Isomap]] = {"spectral": Spectral, "isomap": Isomap}
"""The methods that can embed new vectors (out-of-sample extension)."""

NEIGHBOURS = {"spectral": 10, "isomap": 4}
"""The best values on 1,500 vectors of grocery products (recipe kin)."""


@dataclass(frozen=True, eq=False)
class ManifoldEmbedding:
    """An embedding of N vectors along the manifold that they form.

    vectors: (N, D) float32, those that it was fitted to. method: a name of EMBEDDINGS. layout: the fitted method.
    """

    vectors: Vectors
    method: str
    layout: Spectral | Isomap

    def __post_init__(self) -> None:
        if len(self.layout) != len(self.vectors):
            raise UsageError(f"vectors: got {len(self.vectors)}; expected {len(self.layout)}, those embedded")

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
        """Fit to all vectors that are to be searched, rows (N, D).

        neighbours: links of each row, at most N − 1; with more, the embedding is coarser; None is 10 for "spectral"
        and 4 for "isomap". Isomap may return fewer than `dimension` components if the geodesic distances have no
        more. Raises UsageError for an unknown method and for fewer than `dimension` + 2 rows, MissingExtra if a
        package is not installed.
        """
        check_known("manifold", method, EMBEDDINGS, error=UsageError)
        if find_spec("scipy") is None:
            raise MissingExtra(f"the manifold {method!r}", "maps")
        vectors = as_rows(rows, "rows")
        near = NEIGHBOURS[method] if neighbours is None else neighbours
        check_whole(dimension=dimension, neighbours=near)
        check_count(len(vectors), dimension=dimension)
        near = min(near, len(vectors) - 1)
        layout = EMBEDDINGS[method].fit(vectors, dimension=dimension, neighbours=near, seed=seed)
        return cls(vectors, method, layout)

    @cached_property
    def rows_(self) -> Vectors:
        """The embedded vectors (N, d), L2-normalised, in the order of the fitted rows."""
        return l2_normalise(self.layout.coordinates)

    @property
    def dimension(self) -> int:
        """The dimension d of `rows_`."""
        return int(self.rows_.shape[1])

    def transform(self, queries: Vectors) -> Vectors:
        """Embed new vectors (Q, D): unit vectors (Q, d), to search `rows_` with."""
        rows = as_rows(queries, "queries")
        if rows.shape[1] != self.vectors.shape[1]:
            raise UsageError(f"queries: got shape {rows.shape}; expected (Q, {self.vectors.shape[1]})")
        if not len(rows):
            return np.empty((0, self.dimension), np.float32)
        return l2_normalise(self.layout.extend(*nearest(self.vectors, rows, self.layout.reach)))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the embedding as arrays, for `numpy.savez`."""
        return {"method": np.array(self.method), "vectors": self.vectors, **self.layout.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ManifoldEmbedding:
        """Restore an embedding from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        try:
            method = str(arrays["method"])
            layout = EMBEDDINGS[method].from_arrays(arrays)
            return cls(as_rows(arrays["vectors"], "vectors"), method, layout)
        except (KeyError, UsageError, TypeError, ValueError) as error:
            raise ModelError(f"manifold: damaged or missing ({error}); fit it again") from None


def check_count(count: int, *, dimension: int) -> None:
    """Raise UsageError for fewer rows than an embedding of `dimension` dimensions needs."""
    if count < dimension + 2:
        raise UsageError(
            f"got {count} vectors to embed in {dimension} dimensions; expected at least {dimension + 2}: "
            "add images or reduce the dimension"
        )
