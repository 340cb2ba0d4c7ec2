"""Mixture: a Gaussian mixture of local descriptors with diagonal covariances, for Fisher vectors.

Fit it on images *other* than those to be searched; otherwise evaluation results are too good.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.npz import ArrayMap, restoring
from kindred.arrays import ArrayT, Vectors, as_rows, check_whole, namespace
from kindred.embedding.assignment import nearest_words, soft_words
from kindred.embedding.codebook import k_means
from kindred.embedding.preparation import (
    fit_projection,
    pack_projection,
    prepare,
    sample,
    unpack_projection,
)
from kindred.errors import MissingExtra, UsageError
from kindred.whitening import PCAWhitening

__all__ = ["LEAST_PER_COMPONENT", "MOST_PER_COMPONENT", "Mixture", "posteriors", "posteriors_of_powers", "with_squares"]

LEAST_PER_COMPONENT = 10
"""Minimum of local descriptors per component: a variance is estimated in every direction."""
MOST_PER_COMPONENT = 1000
"""Maximum of local descriptors used per component: with more, the mixture hardly changes and time grows."""
VARIANCE_FLOOR = 1e-4
"""The smallest variance, as a fraction of the descriptors' mean variance: dividing by less amplifies noise."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """K Gaussians with diagonal covariances, and the preparation of descriptors for them.

    weights: π, (K,) float32, of sum 1. means: μ, (K, D) float32. variances: σ², (K, D) float32, above 0.
    projection: a local PCA, which decorrelates the components as the diagonal model assumes; or None.

    Raises UsageError if shapes do not match, or if a weight or a variance is not above 0.
    """

    weights: NDArray[np.float32]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]
    projection: PCAWhitening | None = None

    def __post_init__(self) -> None:
        means, variances = as_rows(self.means, "means"), as_rows(self.variances, "variances")
        weights = np.asarray(self.weights, np.float32)
        if weights.shape != (len(means),) or variances.shape != means.shape:
            raise UsageError(
                f"got weights {weights.shape}, means {means.shape} and variances {variances.shape}; "
                "expected (K,), (K, D) and (K, D)"
            )
        if not ((weights > 0).all() and (variances > 0).all()):
            raise UsageError("weights and variances: got some of 0 or less, or NaN; expected numbers above 0")
        if self.projection is not None and self.projection.dimension != means.shape[1]:
            raise UsageError(
                f"projection: gives {self.projection.dimension} components; expected {means.shape[1]}, as the means"
            )
        for name, values in (("weights", weights), ("means", means), ("variances", variances)):
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        """Return K, the number of Gaussians."""
        return len(self.means)

    @property
    def dimension(self) -> int:
        """D, the number of components of a mean and of a prepared descriptor."""
        return int(self.means.shape[1])

    @classmethod
    def fit(
        cls,
        rows: Vectors,
        *,
        words: int,
        counts: ArrayLike | None = None,  # noqa: ARG003 - as Codebook.fit
        seed: int = 0,
        dimension: int | None = None,
        power: float = 0.0,
        iterations: int = 100,
    ) -> Mixture:
        """Fit `words` Gaussians to local descriptors (M, D), by expectation maximisation initialised by k-means.

        Descriptors are L2-normalised, rotated by a local PCA, reduced to `dimension` (default: D), whitened with
        `power` (0 to 0.5) and L2-normalised again: without the rotation their components would be correlated, which
        diagonal covariances cannot model. `counts` is accepted as by `Codebook.fit`, and ignored. Raises UsageError
        for fewer than 10 rows per Gaussian; at most 1,000 are used, drawn with `seed`. Raises MissingExtra without
        scikit-learn.
        """
        check_whole(words=words, iterations=iterations)
        given = as_rows(rows, "rows")
        used = sample(given, words=words, least=LEAST_PER_COMPONENT, most=MOST_PER_COMPONENT, seed=seed)
        projection = fit_projection(given, dimension, power)
        prepared = prepare(used, projection)
        return cls(*_maximise(prepared, words=words, seed=seed, iterations=iterations), projection)

    def prepare(self, rows: ArrayT) -> ArrayT:
        """Prepare local descriptors (M, D₀) of a network for `posteriors`: unit vectors (M, D)."""
        return prepare(rows, self.projection)

    def to_arrays(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Return the mixture as arrays, for `numpy.savez`."""
        own = {"weights": self.weights, "means": self.means, "variances": self.variances}
        return {**own, **pack_projection(self.projection)}

    @classmethod
    def from_arrays(cls, arrays: ArrayMap) -> Mixture:
        """Restore a mixture from the arrays of `to_arrays`; raises ModelError for missing or invalid arrays."""
        with restoring("mixture", arrays, "weights", "means", "variances") as found:
            weights, means, variances = (each.astype(np.float32) for each in found)
            return cls(weights, means, variances, unpack_projection(arrays))


def posteriors(rows: ArrayT, weights: ArrayT, means: ArrayT, variances: ArrayT) -> ArrayT:
    """Return the posterior probability of each Gaussian for each row: (M, D) → (M, K), rows of sum 1.

    It is the softmax of log π_k − ½ Σ log σ_k² − ½ Σ (x − μ_k)² / σ_k²; gradients flow to all arguments. Computed in
    double precision, returned in that of the rows.
    """
    xp: Any = namespace(rows, weights, means, variances)
    parts = [xp.astype(each, xp.float64, copy=False) for each in (weights, means, variances)]
    shares: ArrayT = xp.astype(posteriors_of_powers(with_squares(rows), *parts), xp.result_type(rows), copy=False)
    return shares


def with_squares(rows: ArrayT) -> Any:
    """Concatenate x and x² in double precision: (M, D) → (M, 2·D)."""
    xp: Any = namespace(rows)
    x = xp.astype(rows, xp.float64, copy=False)
    return xp.concat([x, x * x], axis=1)


def posteriors_of_powers(powers: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the `posteriors` of rows given as `with_squares` returns them; all in double precision.

    (x − μ)² is expanded, so that one matrix product suffices. In single precision this cancels for a Gaussian whose
    standard deviation is much smaller than the norm of its mean.
    """
    xp: Any = namespace(powers)
    inverse = 1.0 / variances
    constant = xp.log(weights) - (xp.sum(xp.log(variances), axis=1) + xp.sum(means * means * inverse, axis=1)) / 2
    factors = xp.concat([means * inverse, inverse / -2], axis=1)
    return soft_words(xp.matmul(powers, factors.T) + constant)


def _maximise(rows: Vectors, *, words: int, seed: int, iterations: int) -> tuple[Vectors, Vectors, Vectors]:
    """Return weights, means and variances by expectation maximisation, initialised by k-means."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise MissingExtra("fitting a Gaussian mixture", "maps") from None
    floor = VARIANCE_FLOOR * float(rows.var(axis=0).mean())
    centres = k_means(rows, words=words, seed=seed)
    nearest = nearest_words(rows, centres)
    sizes = np.bincount(nearest, minlength=words)
    squares = np.stack([np.bincount(nearest, column, minlength=words) for column in ((rows - centres[nearest]) ** 2).T])
    variances = np.maximum(squares.T / np.maximum(sizes, 1)[:, None], floor)
    mixture = GaussianMixture(
        words,
        covariance_type="diag",
        reg_covar=floor,
        max_iter=iterations,
        random_state=seed,
        weights_init=np.maximum(sizes, 1) / np.maximum(sizes, 1).sum(),
        means_init=centres.astype(np.float64),
        precisions_init=1 / variances,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an approximate optimum is sufficient
        mixture.fit(rows.astype(np.float64))
    weights = np.maximum(mixture.weights_, np.finfo(np.float32).tiny)
    return weights.astype(np.float32), mixture.means_.astype(np.float32), mixture.covariances_.astype(np.float32)
