"""Losses of classification, whose heads are dropped afterwards: the vectors are kept.

A label below 0 is not known, and its vector does not count.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kindred.arrays import l2_normalise
from kindred.training.losses.measures import mean_over, similarities

__all__ = ["arcface", "cross_entropy", "normalised_softmax"]


def cross_entropy(vectors: Tensor, classes: Tensor, labels: Tensor, *, scale: float = 16.0) -> Tensor:
    """Return the mean cross-entropy of softmax(scale · v·w) for vectors v (B, D), weights w (K, D) and labels (B,).

    The weights are as long as they like. `scale` stands for the length of the vectors: those that are compared have
    length 1, and would leave the probabilities near 1/K for as long as the weights are short.
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


def _cosines(vectors: Tensor, classes: Tensor) -> Tensor:
    return similarities(l2_normalise(vectors), l2_normalise(classes))


def _mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    terms = F.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    return mean_over(terms, labels >= 0)
