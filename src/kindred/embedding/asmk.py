"""ASMK: an image as one aggregated residual per visual word, matched word by word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows, l2_normalise
from kindred.embedding.assignment import nearest_several
from kindred.embedding.stack import open_stack, sum_at

__all__ = ["asmk"]


def asmk(
    rows: Vectors,
    counts: ArrayLike,
    centres: NDArray[np.floating[Any]],
    *,
    multiple: int = 1,
    binary: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64], Vectors]:
    """Sum the residuals of each image to each of its words: (M, D) → owners (n,), words (n,), vectors (n, D).

    Owners are the numbers 0 … B − 1 of the images, ascending, with ascending words within each image; an image
    without descriptors has no row. Vectors are unit vectors (or 0 if the residuals cancel); `binary` reduces them to
    the signs of their components, as ±1/√D. `multiple` assigns each descriptor to that many nearest words (multiple
    assignment, for queries). `kindred.matching` compares the result. Source: Tolias, Avrithis and Jégou 2016.
    """
    _, x, numbers = open_stack(as_rows(rows, "rows"), counts, centres.shape[1])
    means = np.asarray(centres, np.float32)
    near = nearest_several(x, means, multiple)
    owners = np.repeat(np.arange(len(numbers)), numbers)
    cells, place = np.unique(owners[:, None] * len(means) + near, return_inverse=True)
    place = place.reshape(near.shape)
    sums = np.zeros((len(cells), x.shape[1]), np.float32)
    for rank in range(multiple):
        sums += sum_at(place[:, rank], x - means[near[:, rank]], len(cells))
    vectors = np.where(sums > 0, 1, -1) / np.float32(x.shape[1]) ** 0.5 if binary else l2_normalise(sums)
    return cells // len(means), cells % len(means), vectors.astype(np.float32)
