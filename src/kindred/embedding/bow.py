"""Bag of words: histograms of visual words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import ArrayT, like
from kindred.embedding.assignment import nearest_words
from kindred.embedding.stack import count_cells, open_stack

__all__ = ["bag_of_words"]


def bag_of_words(
    rows: ArrayT,
    counts: ArrayLike,
    centres: NDArray[np.floating[Any]],
    *,
    idf: NDArray[np.floating[Any]] | None = None,
    sqrt: bool = False,
) -> ArrayT:
    """Count the words of each image, as fractions of its descriptors: (M, D) → (B, K).

    `idf` (K,) weights each word by its inverse document frequency (tf-idf). `sqrt` takes the square root of the
    fractions first, which reduces the effect of bursty words. Counts are not differentiable: no gradient reaches the
    rows. Source: Sivic and Zisserman 2003.
    """
    _, x, numbers = open_stack(rows, counts, centres.shape[1])
    words = nearest_words(x, like(centres, x))
    shares = count_cells(words, numbers, len(centres)) / np.maximum(numbers, 1)[:, None]
    if sqrt:
        shares = np.sqrt(shares)
    histograms: ArrayT = like(shares if idf is None else shares * idf, x)
    return histograms
