"""Bag of words: how often an image has each visual word."""

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

    `idf` (K,) weighs each word by how rare it is among images (tf-idf). `sqrt` takes the root of the fractions
    first, so that a word that comes in bursts does not drown the others. The counts are steps: no gradient
    reaches the rows. Source: Sivic and Zisserman 2003.
    """
    _, x, numbers = open_stack(rows, counts, centres.shape[1])
    words = nearest_words(x, like(centres, x))
    shares = count_cells(words, numbers, len(centres)) / np.maximum(numbers, 1)[:, None]
    if sqrt:
        shares = np.sqrt(shares)
    histograms: ArrayT = like(shares if idf is None else shares * idf, x)
    return histograms
