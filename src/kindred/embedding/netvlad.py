"""NetVLAD: VLAD whose descriptors belong to all words, each by a share that can be trained."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import ArrayT, l2_normalise, namespace
from kindred.embedding.assignment import soft_words
from kindred.embedding.codebook import Codebook
from kindred.embedding.stack import open_stack, sum_soft
from kindred.errors import RecipeError
from kindred.hints import check_known

__all__ = ["NETVLAD_STARTS", "netvlad", "netvlad_weights"]

NETVLAD_STARTS = ("v1", "v2")


def netvlad(rows: ArrayT, counts: ArrayLike, weights: ArrayT, biases: ArrayT, centres: ArrayT) -> ArrayT:
    """Sum the residuals to each word, weighted by softmax_k(w_k·x + b_k): (M, D) → (B, K·D), word by word.

    `weights` (K, D), `biases` (K,) and `centres` (K, D) are of the kind of `rows`, which are unit vectors (as a
    codebook prepares them); gradients flow to all four. Each word's part is made a unit vector, then the whole.
    Source: Arandjelović et al. 2016.
    """
    xp, x, numbers = open_stack(rows, counts, centres.shape[1])
    w: Any = weights
    c: Any = centres
    sums, masses = sum_soft(soft_words(xp.matmul(x, w.T) + biases), x, numbers)
    parts = l2_normalise(sums - masses[:, :, None] * c)
    vectors: ArrayT = l2_normalise(xp.reshape(parts, (parts.shape[0], parts.shape[1] * parts.shape[2])))
    return vectors


def netvlad_weights(
    codebook: Codebook, *, start: str = "v1", alpha: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights (K, D) and biases (K,) of NetVLAD: those that it starts from, or was trained to.

    "v1" is that of the authors' published models: w_k = α c_k / ‖c_k‖ and no bias; "v2" that of the paper:
    w_k = 2α c_k, b_k = −α‖c_k‖², the soft-max of −α times the squared distances. With α = 0 it is learned: on
    average the nearest word gets 100 times the share of the second. A codebook that was trained has weights and
    biases of its own. Raises RecipeError for another `start`, and for one, or an α, where nothing starts.
    """
    check_known("start", start, NETVLAD_STARTS, error=RecipeError, where="netvlad")
    if codebook.weights is not None and codebook.biases is not None:
        if start != NETVLAD_STARTS[0] or alpha:
            raise RecipeError("netvlad: start and alpha have no effect on a codebook that was trained; leave them out")
        return codebook.weights, codebook.biases
    alpha = alpha or log(100) / float(codebook.gaps[NETVLAD_STARTS.index(start)])
    centres = codebook.centres
    if start == "v1":
        return np.float32(alpha) * l2_normalise(centres), np.zeros(len(centres), np.float32)
    xp = namespace(centres)
    return np.float32(2 * alpha) * centres, np.float32(-alpha) * xp.linalg.vecdot(centres, centres)
