"""PCA whitening: rotation to the principal directions, scaled towards equal variances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, with_fixed_signs
from kindred.errors import UsageError
from kindred.whitening.base import Whitening, check_dimension, restoring_whitening
from kindred.whitening.principal import principal_directions

__all__ = ["PCAWhitening"]


@dataclass(frozen=True, eq=False)
class PCAWhitening(Whitening):
    """A fitted whitening y = l2(P (x − m)), P = Λ^−power Eᵀ (Jégou and Chum 2012).

    mean: m, (D,) float32.
    projection: P, (D_out, D) float32, the direction of largest variance first; with fewer rows than D the dimension
    is reduced before the final normalisation.
    power: 0.5 gives all directions the same variance, 0 only rotates, values in between are a compromise.

    Raises UsageError if shapes do not match.
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
        """Fit to vectors (N, D), or to batches (n, D) of them; one batch is in memory at a time.

        Of vectors with more than 4,096 components, only the first 6,000 are used, all held in memory. `dimension` is
        the number of output components (default: D). `floor` is the smallest variance used for scaling, as a fraction
        of the largest: smaller ones are rounding errors, which whitening would amplify. Raises UsageError for fewer
        than `dimension` + 1 rows, which do not vary in that many directions.
        """
        if power < 0 or not 0 < floor <= 1:
            raise UsageError(f"got power {power} and floor {floor}; expected power >= 0 and 0 < floor <= 1")
        count, mean, variances, directions = principal_directions(batches)
        kept = len(mean) if dimension is None else dimension
        check_dimension(kept, len(mean))
        if count <= kept:
            raise UsageError(
                f"got {count} rows to whiten {kept} dimensions; expected at least {kept + 1}: "
                "add images or reduce the dimension"
            )
        if variances[0] <= 1e-20 * (mean @ mean):  # no more than rounding errors of the mean
            raise UsageError(f"got {count} equal rows; expected vectors that differ")
        scales = np.maximum(variances, floor * variances[0])[:kept] ** -power
        projection = scales[:, None] * with_fixed_signs(directions[:kept], axis=1)
        return cls(mean.astype(np.float32), projection.astype(np.float32), power)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whitening as arrays, for `numpy.savez`."""
        return {**super().to_arrays(), "power": np.array(self.power)}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> PCAWhitening:
        """Restore a whitening from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring_whitening(cls.KIND, arrays, "mean", "projection", "power") as (mean, projection, power):
            return cls(mean.astype(np.float32), projection.astype(np.float32), float(power))
