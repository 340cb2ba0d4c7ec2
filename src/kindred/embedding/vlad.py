"""VLAD: sums of residuals of descriptors to their visual words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import ArrayT, l2_normalise, like, namespace
from kindred.embedding.assignment import nearest_words
from kindred.embedding.stack import count_cells, in_image_blocks, open_stack, sum_words
from kindred.errors import RecipeError
from kindred.whitening import power_law

__all__ = ["VLAD_NORMALISATIONS", "vlad"]

VLAD_NORMALISATIONS = ("plain", "ssr", "intra", "residual")


def vlad(
    rows: ArrayT,
    counts: ArrayLike,
    centres: NDArray[np.floating[Any]],
    *,
    normalise: str = "plain",
    mean: bool = False,
) -> ArrayT:
    """Sum each word's residuals x − μ_k over the descriptors nearest to it: (M, D) → (B, K·D), word by word.

    `normalise` is "plain" (none), or one or several of the following joined by + ("residual+intra"), always applied
    in this order: "residual", each residual is L2-normalised before the sum (Delhumeau et al. 2013); "ssr", the signed
    square root of every component (Jégou et al. 2012); "intra", the part of each word is L2-normalised (Arandjelović
    and Zisserman 2013). L2-normalise the result in every case.

    A word without descriptors gives 0, a residual of 0 is ignored. `mean` divides by the number of descriptors before
    the square root, as in textbooks; without a square root this cancels in the final normalisation. Raises
    RecipeError for an unknown `normalise`. Source: Jégou et al. 2010.
    """
    steps = normalise.split("+")
    if not set(steps) <= set(VLAD_NORMALISATIONS):
        known = ", ".join(VLAD_NORMALISATIONS)
        raise RecipeError(f"vlad: normalise is {normalise!r}; expected {known}, or several joined by +")
    _, x, numbers = open_stack(rows, counts, centres.shape[1])
    means = like(centres, x)

    def encode(block: Any, counts: NDArray[np.int64]) -> Any:
        sums = _residuals(block, counts, means, unit="residual" in steps)
        if mean:
            sums = sums / like(np.maximum(counts, 1), x)[:, None, None]
        if "ssr" in steps:
            sums = power_law(sums)
        if "intra" in steps:
            sums = l2_normalise(sums)
        return namespace(x).reshape(sums, (len(counts), centres.size))

    vectors: ArrayT = in_image_blocks(encode, x, numbers, centres.size)
    return vectors


def _residuals(rows: Any, counts: NDArray[np.int64], centres: Any, *, unit: bool) -> Any:
    """Sum the residuals to each word, or with `unit` the L2-normalised residuals: (m, D) → (b, K, D)."""
    size = centres.shape[0]
    words = nearest_words(rows, centres)
    if unit:
        directions = l2_normalise(rows - namespace(rows).take(centres, words, axis=0))
        return sum_words(words, directions, counts, size)
    # Σ (x − μ) = Σ x − n μ, without computing the residuals themselves.
    sums = sum_words(words, rows, counts, size)
    sums -= like(count_cells(words, counts, size), rows)[:, :, None] * centres
    return sums
