"""NetVLAD: VLAD with a soft assignment that can be trained."""

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

    `weights` (K, D), `biases` (K,) and `centres` (K, D) are arrays of the same library as `rows`, which are unit
    vectors (as a codebook prepares them); gradients flow to all four. The part of each word is L2-normalised, then
    the whole. Source: Arandjelović et al. 2016.
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
    """Return the weights (K, D) and biases (K,) of NetVLAD: initial ones, or those of a trained codebook.

    start: "v1", as in the authors' published models, is w_k = α c_k / ‖c_k‖ without a bias; "v2", as in the paper, is
    w_k = 2α c_k and b_k = −α‖c_k‖², the softmax of −α times the squared distances. With α = 0 it is estimated so that
    the nearest word gets on average 100 times the weight of the second nearest. A trained codebook has its own weights
    and biases. Raises RecipeError for an unknown `start`, and for a `start` or an α given for a trained codebook.
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
