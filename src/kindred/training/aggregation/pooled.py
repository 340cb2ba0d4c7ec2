"""Trainable poolings: GeM with a trained exponent, and those of which only the whitening is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kindred.errors import RecipeError
from kindred.pooling import POOLINGS, Pooling, gem, pool
from kindred.recipe import Option
from kindred.training.aggregation.base import Aggregation
from kindred.training.aggregation.exponent import Exponent

__all__ = ["GeM", "Pooled", "fits"]


def fits(pooling: Pooling) -> bool:
    """Return whether a pooling maps a feature map alone to one vector of fixed dimension."""
    if pooling.parts or pooling.fitted or pooling.network:
        return False
    return pooling.dimension(8, 1, 1) == pooling.dimension(8, 64, 64)


class Pooled(Aggregation):
    """Any pooling of `kindred.pooling.POOLINGS` that maps a feature map alone to one vector, normalised.

    method: its name. options: its parameters. The rest is as in `Aggregation`. Raises RecipeError for an unknown
    pooling or one that needs more than the feature map, and UsageError for a parameter out of range.
    """

    def __init__(
        self,
        channels: int,
        method: str = "average",
        *,
        options: Mapping[str, Option] | None = None,
        whiten: bool = False,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        self.method, self.options = method, dict(options or {})
        if method in POOLINGS and not fits(POOLINGS[method]):
            raise RecipeError(
                f"pooling {method!r} cannot be trained: it needs more than one feature map, or makes several vectors"
            )
        sample = self._pool(torch.ones(1, channels, 4, 4))
        super().__init__(channels, sample.shape[1], whiten=whiten, dimension=dimension, power=power)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Pool maps (B, C, H, W) to vectors (B, width)."""
        return self._pool(maps)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return the pooling and its options."""
        return {"pooling": self.method, "pooling_options": self.options}

    def _pool(self, maps: Tensor) -> Tensor:
        given: dict[str, Any] = self.options
        return pool(maps, self.method, **given)


class GeM(Aggregation):
    """The generalised mean with a trained exponent (Radenović, Tolias and Chum 2018).

    p: the initial exponent. per_channel: whether every channel has its own. The rest is as in `Aggregation`.
    Raises UsageError for a `p` of 1 or less.
    """

    def __init__(
        self,
        channels: int,
        *,
        p: float = 3.0,
        per_channel: bool = False,
        whiten: bool = False,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(channels, channels, whiten=whiten, dimension=dimension, power=power)
        self.exponent = Exponent(p, channels=channels if per_channel else 0)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Pool maps (B, C, H, W) to vectors (B, C)."""
        return gem(maps, p=self.exponent())

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return GeM with its current exponent."""
        return {"pooling": "gem", "pooling_options": {"p": self.exponent.value()}}
