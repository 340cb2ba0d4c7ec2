"""The base class of whitenings: subtract a mean, project, L2-normalise."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap, restoring
from kindred.arrays import ArrayT, as_rows, floating, l2_normalise, like, namespace
from kindred.errors import ModelError, UsageError

__all__ = ["Whitening", "check_dimension", "kind_of", "restoring_whitening"]


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted y = l2(P (x − m)); `PCAWhitening` and `LearnedWhitening` fit it in different ways.

    mean: m, (D,) float32.
    projection: P, (D_out, D) float32, the most important direction first; the last rows may be dropped to reduce the
    dimension.

    Raises UsageError if shapes do not match.
    """

    KIND: ClassVar[str] = ""

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "projection", as_rows(self.projection, "projection"))
        if self.mean.shape != self.projection.shape[1:]:
            raise UsageError(f"mean: got shape {self.mean.shape}; expected {self.projection.shape[1:]}")
        object.__setattr__(self, "mean", as_rows(self.mean[None], "mean")[0])

    @property
    def dimension(self) -> int:
        """The number of components that `transform` returns."""
        return len(self.projection)

    def transform(self, rows: ArrayT) -> ArrayT:
        """Whiten vectors (N, D) to unit vectors (N, D_out); NumPy or PyTorch, gradients flow."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise UsageError(f"rows: got shape {tuple(rows.shape)}; expected (N, {len(self.mean)})")
        x: Any = floating(rows)
        whitened: ArrayT = l2_normalise(namespace(rows).matmul(x - like(self.mean, x), like(self.projection, x).T))
        return whitened

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whitening as arrays, for `numpy.savez`."""
        return {"kind": np.array(self.KIND), "mean": self.mean, "projection": self.projection}


def check_dimension(dimension: int, width: int) -> None:
    """Raise UsageError for a dimension that a whitening of vectors of `width` components cannot have."""
    if not 1 <= dimension <= width:
        raise UsageError(f"dimension: got {dimension}; expected 1 to {width}, that of the vectors")


def kind_of(arrays: ArrayMap) -> str:
    """Return the kind of whitening in the arrays; files of version 0.1 do not name it and are PCA whitenings."""
    return str(arrays["kind"]) if "kind" in arrays else "pca"


def restoring_whitening(kind: str, arrays: ArrayMap, *names: str) -> AbstractContextManager[list[NDArray[Any]]]:
    """Yield the arrays of those names, as `restoring` does. Raises ModelError if they are of another kind."""
    if kind_of(arrays) != kind:
        raise ModelError(f"whitening: got kind {kind_of(arrays)!r}; expected {kind!r}")
    return restoring("whitening", arrays, *names)
