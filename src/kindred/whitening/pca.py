"""PCA whitening: the directions in which vectors differ, made to count alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.whitening.base import Whitening, restoring_whitening
from kindred.whitening.moments import upright
from kindred.whitening.principal import principal_directions

__all__ = ["PCAWhitening"]


@dataclass(frozen=True, eq=False)
class PCAWhitening(Whitening):
    """A fitted whitening y = l2(P (x − m)), P = Λ^−power Eᵀ (Jégou and Chum 2012).

    mean: m, (D,) float32.
    projection: P, (D_out, D) float32, the direction of largest variance first; fewer rows than D reduce the
    dimension, and are cut before the final normalisation.
    power: 0.5 gives all directions the same variance, 0 only rotates, between them is a compromise.

    Raises UsageError where shapes do not fit.
    """

    KIND: ClassVar[str] = "pca"

    power: float = 0.5

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

        Of vectors of more than 4,096 components some thousand are held, and the rest is left out.
        `dimension` is how many directions to keep (default: D). `floor` is the smallest variance counted,
        as a fraction of the largest: below lie rounding errors, which whitening would blow up. Raises
        UsageError for fewer than `dimension` + 1 rows, which do not vary in so many directions.
        """
        if power < 0 or not 0 < floor <= 1:
            raise UsageError(f"got power {power} and floor {floor}; expected power >= 0 and 0 < floor <= 1")
        count, mean, variances, directions = principal_directions(batches)
        kept = len(mean) if dimension is None else dimension
        if not 1 <= kept <= len(mean):
            raise UsageError(f"dimension: got {kept}; expected 1 to {len(mean)}, that of the vectors")
        if count <= kept:
            raise UsageError(
                f"got {count} rows to whiten {kept} dimensions; expected at least {kept + 1}: "
                "add images or ask for a smaller dimension"
            )
        if variances[0] <= 1e-20 * (mean @ mean):  # no more than the mean's own rounding
            raise UsageError(f"got {count} equal rows; expected vectors that differ")
        scales = np.maximum(variances, floor * variances[0])[:kept] ** -power
        projection = scales[:, None] * upright(directions[:kept])
        return cls(mean.astype(np.float32), projection.astype(np.float32), power)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be kept, for `numpy.savez`."""
        return {**super().to_arrays(), "power": np.array(self.power)}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> PCAWhitening:
        """Take back what `to_arrays` returned, as from `numpy.load`; raises ModelError for anything else."""
        with restoring_whitening(cls.KIND, arrays, "mean", "projection", "power") as (mean, projection, power):
            return cls(mean.astype(np.float32), projection.astype(np.float32), float(power))
