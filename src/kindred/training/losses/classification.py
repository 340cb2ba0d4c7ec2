"""Losses of classification; the class weights are dropped after the training, only the vectors are used.

A vector with a label below 0 (unknown) is ignored.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kindred.arrays import l2_normalise
from kindred.training.losses.measures import log_sum, mean_over, similarities

__all__ = ["arcface", "cosface", "cross_entropy", "normalised_softmax", "proxy_anchor"]


def cross_entropy(vectors: Tensor, classes: Tensor, labels: Tensor, *, scale: float = 16.0) -> Tensor:
    """Return the mean cross-entropy of softmax(scale · v·w) for vectors v (B, D), weights w (K, D) and labels (B,).

    The weights may have any length. `scale` replaces the length of the vectors: unit vectors alone would leave the
    probabilities near 1/K as long as the weights are short.
    """
    return _mean_cross_entropy(scale * similarities(vectors, classes), labels)


def normalised_softmax(vectors: Tensor, classes: Tensor, labels: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Return the mean cross-entropy of softmax(cos(v, w) / temperature) for vectors v (B, D) and labels (B,).

    The weights w (K, D) are made unit vectors: a class is a direction, its proxy. Source: Zhai and Wu 2019.
    """
    return _mean_cross_entropy(_cosines(vectors, classes) / temperature, labels)


def arcface(vectors: Tensor, classes: Tensor, labels: Tensor, *, scale: float = 30.0, margin: float = 0.5) -> Tensor:
    """Return the mean cross-entropy of softmax(scale · cos θ) where θ to a vector's own class is `margin` wider.

    θ are the angles of vectors (B, D) and weights (K, D), margin in radians; labels (B,). Where θ + margin would pass
    π, and its cosine grow again, cos θ − margin · sin(margin) stands for it. Source: Deng et al. 2019 (their scale
    is 64, for a million faces).
    """
    cosines = _cosines(vectors, classes)
    at = labels.clamp_min(0)[:, None]
    own = cosines.gather(1, at)
    # By the sine, because the slope of the arc cosine has no bound at ±1; nor has that of the root of 0.
    sine = (1 - own.square()).clamp_min(torch.finfo(own.dtype).eps).sqrt()
    wider = own * math.cos(margin) - sine * math.sin(margin)
    wider = torch.where(own >= -math.cos(margin), wider, own - margin * math.sin(margin))
    return _mean_cross_entropy(scale * cosines.scatter(1, at, wider), labels)


def cosface(vectors: Tensor, classes: Tensor, labels: Tensor, *, scale: float = 30.0, margin: float = 0.35) -> Tensor:
    """Return the mean cross-entropy of softmax(scale · c) where c is the cosine, less `margin` for the own class.

    Of vectors (B, D) and weights (K, D), both made unit vectors; labels (B,). Source: Wang et al. 2018 (their scale is
    64, for a million faces).
    """
    cosines = _cosines(vectors, classes)
    at = labels.clamp_min(0)[:, None]
    return _mean_cross_entropy(scale * cosines.scatter(1, at, cosines.gather(1, at) - margin), labels)


def proxy_anchor(
    vectors: Tensor, classes: Tensor, labels: Tensor, *, alpha: float = 32.0, margin: float = 0.1
) -> Tensor:
    """Return, over classes, the means of log(1 + Σ e^(−alpha(s_p − margin))) and log(1 + Σ e^(alpha(s_n + margin))).

    s are the cosines of a class's proxy, a row of `classes` (K, D), and the vectors (B, D) of that class (p) and of
    others (n) by labels (B,). The first mean is over the classes that the batch has, the second over all; the loss is
    their sum. Source: Kim et al. 2020.
    """
    s = _cosines(vectors, classes)
    known = (labels >= 0)[:, None]
    own = (labels[:, None] == torch.arange(len(classes), device=labels.device)) & known
    pull = log_sum(-alpha * (s - margin), own, plus_one=True, dim=0)
    push = log_sum(alpha * (s + margin), ~own & known, plus_one=True, dim=0)
    return mean_over(pull, own.any(dim=0)) + push.mean()


def _cosines(vectors: Tensor, classes: Tensor) -> Tensor:
    return similarities(l2_normalise(vectors), l2_normalise(classes))


def _mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    terms = F.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    return mean_over(terms, labels >= 0)
