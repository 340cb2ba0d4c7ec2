"""PCA whitening: fit on vectors of other images, then rotate, scale and normalise.

Whitening takes away what all images have in common and evens out the directions in which they differ. It is
learned on images that are *not* those to be searched, or the results of an evaluation are too good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from kindred.arrays import ArrayT, Vectors, as_rows, floating, l2_normalise, namespace
from kindred.errors import ModelError, UsageError

__all__ = ["PCAWhitening"]

BLOCK = 4096
"""Rows that are widened to double precision at a time."""


@dataclass(frozen=True, eq=False)
class PCAWhitening:
    """A fitted whitening y = l2(P (x − m)), P = Λ^−power Eᵀ (Jégou and Chum 2012).

    mean: m, (D,) float32.
    projection: P, (D_out, D) float32, the direction of largest variance first; fewer rows than D reduce the
    dimension, and are cut before the final normalisation.
    power: 0.5 gives all directions the same variance, 0 only rotates, between them is a compromise.

    Raises UsageError where shapes do not fit.
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]
    power: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "projection", as_rows(self.projection, "projection"))
        if self.mean.shape != self.projection.shape[1:]:
            raise UsageError(f"mean: got shape {self.mean.shape}; expected {self.projection.shape[1:]}")
        object.__setattr__(self, "mean", as_rows(self.mean[None], "mean")[0])

    @property
    def dimension(self) -> int:
        """The number of components that `transform` returns."""
        return len(self.projection)

    @classmethod
    def fit(
        cls,
        batches: Vectors | Iterable[Vectors],
        *,
        dimension: int | None = None,
        power: float = 0.5,
        floor: float = 1e-6,
    ) -> PCAWhitening:
        """Learn from vectors (N, D), or from batches (n, D) of them; at no time is more than one batch held.

        `dimension` is how many directions to keep (default: D). `floor` is the smallest variance counted,
        as a fraction of the largest: below lie rounding errors, which whitening would blow up. Raises
        UsageError for fewer than `dimension` + 1 rows, which do not vary in so many directions.
        """
        if power < 0 or not 0 < floor <= 1:
            raise UsageError(f"got power {power} and floor {floor}; expected power >= 0 and 0 < floor <= 1")
        count, mean, covariance = _moments([batches] if isinstance(batches, np.ndarray) else batches)
        kept = len(mean) if dimension is None else dimension
        if not 1 <= kept <= len(mean):
            raise UsageError(f"dimension: got {kept}; expected 1 to {len(mean)}, that of the vectors")
        if count <= kept:
            raise UsageError(
                f"got {count} rows to whiten {kept} dimensions; expected at least {kept + 1}: "
                "add images or ask for a smaller dimension"
            )
        variances, directions = np.linalg.eigh(covariance)  # in rising order, directions are columns
        if variances[-1] <= 1e-20 * (mean @ mean):  # no more than the mean's own rounding
            raise UsageError(f"got {count} equal rows; expected vectors that differ")
        scales = np.maximum(variances[::-1], floor * variances[-1])[:kept] ** -power
        rows = directions.T[::-1][:kept]
        # A direction's sign is arbitrary; its largest component is made positive, so that all machines agree.
        signs = np.sign(rows[np.arange(kept), np.argmax(np.abs(rows), axis=1)])
        projection = (scales * signs)[:, None] * rows
        return cls(mean.astype(np.float32), projection.astype(np.float32), power)

    def transform(self, rows: ArrayT) -> ArrayT:
        """Whiten vectors (N, D) to unit vectors (N, D_out); NumPy or PyTorch, gradients flow."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise UsageError(f"rows: got shape {tuple(rows.shape)}; expected (N, {len(self.mean)})")
        xp = namespace(rows)
        x: Any = floating(rows)
        mean = xp.asarray(self.mean, dtype=x.dtype, device=device(x))
        projection = xp.asarray(self.projection, dtype=x.dtype, device=device(x))
        whitened: ArrayT = l2_normalise(xp.matmul(x - mean, projection.T))
        return whitened

    def to_arrays(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Return all that must be kept, for `numpy.savez`."""
        return {"mean": self.mean, "projection": self.projection, "power": np.array(self.power)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating[Any]]]) -> PCAWhitening:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
        missing = [name for name in ("mean", "projection", "power") if name not in arrays]
        if missing:
            raise ModelError(f"whitening: {', '.join(missing)} missing; expected mean, projection and power")
        try:
            mean, projection = (arrays[name].astype(np.float32) for name in ("mean", "projection"))
            return cls(mean, projection, float(arrays["power"]))
        except (UsageError, TypeError, ValueError) as error:
            raise ModelError(f"whitening: damaged ({error}); fit it again") from None


def _moments(batches: Iterable[Vectors]) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of rows, their mean (D,) and their covariance (D, D) (over N), in one pass."""
    count = 0
    for batch in batches:
        rows = as_rows(batch, "rows")
        if not len(rows):
            continue
        if not count:
            # Rows are counted from the first batch's mean: sums of squares far from 0 would cancel.
            origin = rows.mean(axis=0, dtype=np.float64)
            total, products = np.zeros_like(origin), np.zeros((len(origin), len(origin)))
        elif rows.shape[1] != len(origin):
            raise UsageError(f"rows: got {rows.shape[1]} components after {len(origin)}; expected all alike")
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK] - origin
            total += block.sum(axis=0)
            products += block.T @ block
        count += len(rows)
    if not count:
        raise UsageError("got no rows to learn a whitening from; expected some more than its dimension")
    shift = total / count
    return count, origin + shift, products / count - np.outer(shift, shift)
