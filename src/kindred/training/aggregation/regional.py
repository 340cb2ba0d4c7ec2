"""Trainable regional poolings: R-MAC and regional GeM, with a trained whitening of the regions before the sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kindred.pooling import pool, rgem_regions, rmac_regions
from kindred.recipe import Option
from kindred.training.aggregation.base import Aggregation
from kindred.training.aggregation.exponent import Exponent

__all__ = ["RMAC", "RegionalGeM"]


class RMAC(Aggregation):
    """R-MAC: maxima over a grid of regions, normalised, whitened and summed (Gordo et al. 2016).

    levels: of the grid of Tolias, Sicre and Jégou 2016. whiten: on by default, since only that
    layer is trained. The rest is as in `Aggregation`.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 3,
        whiten: bool = True,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(channels, channels, whiten=whiten, dimension=dimension, power=power)
        self.levels = levels

    def aggregate(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), float32 or float64, to unit vectors (B, D)."""
        return pool(maps, "rmac", levels=self.levels, whitening=self.whitening)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the vectors of their regions (B, R, C)."""
        return rmac_regions(maps, levels=self.levels)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return R-MAC with its levels."""
        return {"pooling": "rmac", "pooling_options": {"levels": self.levels}}


class RegionalGeM(Aggregation):
    """R-MAC with the generalised mean of each region in place of its maximum, and a trained exponent.

    levels, whiten: as in `RMAC`. p: the initial exponent, one for all channels and regions. The rest is as in
    `Aggregation`. Raises UsageError for a `p` of 1 or less.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 3,
        p: float = 3.0,
        whiten: bool = True,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(channels, channels, whiten=whiten, dimension=dimension, power=power)
        self.levels, self.exponent = levels, Exponent(p)

    def aggregate(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), float32 or float64, to unit vectors (B, D)."""
        return pool(maps, "rgem", levels=self.levels, p=self.exponent(), whitening=self.whitening)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the vectors of their regions (B, R, C)."""
        p: Any = self.exponent()
        return rgem_regions(maps, levels=self.levels, p=p)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return regional GeM with its levels and its current exponent."""
        return {"pooling": "rgem", "pooling_options": {"levels": self.levels, "p": self.exponent.value()}}
