"""Fisher vector: the gradient of the log-likelihood of an image's descriptors under a Gaussian mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import ArrayT, l2_normalise, like, namespace
from kindred.embedding.mixture import Mixture, posteriors_of_powers, with_squares
from kindred.embedding.stack import in_image_blocks, open_stack, sum_soft
from kindred.whitening import power_law

__all__ = ["fisher"]


def fisher(rows: ArrayT, counts: ArrayLike, mixture: Mixture, *, sqrt: bool = True, l2: bool = True) -> ArrayT:
    """Take the gradients by the means, then by the variances: (M, D) → (B, 2·K·D), Gaussian by Gaussian.

    u_k = 1/(N√π_k) Σ q_k (x − μ_k)/σ_k and v_k = 1/(N√(2π_k)) Σ q_k [((x − μ_k)/σ_k)² − 1], with the posteriors q
    and the number N of the image's descriptors, as returned by the mixture's `prepare`. The improved Fisher vector is
    its signed square root (`sqrt`), L2-normalised (`l2`). An image without descriptors gives 0. Source: Perronnin,
    Sánchez and Mensink 2010.
    """
    xp, x, numbers = open_stack(rows, counts, mixture.dimension)
    # (x − μ)² is expanded. For a Gaussian that has collapsed to the variance floor this cancels in single precision:
    # the cosine to the exact vector falls to 0.95.
    wide = xp.astype(x[:0], xp.float64)
    parts = [like(each, wide) for each in (mixture.weights, mixture.means, mixture.variances)]

    def encode(block: Any, counts: NDArray[np.int64]) -> Any:
        vectors = xp.astype(_gradients(block, counts, *parts), x.dtype)
        if sqrt:
            vectors = power_law(vectors)
        return l2_normalise(vectors) if l2 else vectors

    fishers: ArrayT = in_image_blocks(encode, x, numbers, 2 * mixture.means.size)
    return fishers


def _gradients(rows: Any, counts: NDArray[np.int64], weights: Any, means: Any, variances: Any) -> Any:
    """Return u and v of each image, from the sums of q, q x and q x²: (m, D) → (b, 2·K·D)."""
    xp = namespace(rows)
    width = rows.shape[1]
    powers = with_squares(rows)
    shares = posteriors_of_powers(powers, weights, means, variances)
    sums, masses = sum_soft(shares, powers, counts)
    first, second, masses = sums[:, :, :width], sums[:, :, width:], masses[:, :, None]
    scale = like(np.maximum(counts, 1), rows)[:, None, None] * xp.sqrt(weights)[:, None]
    to_means = (first - masses * means) / (xp.sqrt(variances) * scale)
    to_variances = ((second - 2 * means * first + masses * means * means) / variances - masses) / (2**0.5 * scale)
    both = xp.concat([to_means, to_variances], axis=1)
    return xp.reshape(both, (len(counts), both.shape[1] * both.shape[2]))
