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


def _grid(levels: int, *, whole: bool) -> dict[str, Any]:
    """Return the options of a regional pooling; `whole` only where it is set, as it is not in recipes of before."""
    return {"levels": levels, "whole": True} if whole else {"levels": levels}


class RMAC(Aggregation):
    """R-MAC: maxima over a grid of regions, normalised, whitened and summed (Gordo et al. 2016).

    levels: of the grid of Tolias, Sicre and Jégou 2016. whole: whether the whole map is a region too, as in the code of
    Radenović, Tolias and Chum 2018. whiten: on by default, since only that layer is trained. The rest is as in
    `Aggregation`.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 3,
        whole: bool = False,
        whiten: bool = True,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(channels, channels, whiten=whiten, dimension=dimension, power=power)
        self.regions = _grid(levels, whole=whole)

    def aggregate(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), float32 or float64, to unit vectors (B, D)."""
        return pool(maps, "rmac", **self.regions, whitening=self.whitening)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the vectors of their regions (B, R, C)."""
        return rmac_regions(maps, **self.regions)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return R-MAC with its regions."""
        return {"pooling": "rmac", "pooling_options": self.regions}


class RegionalGeM(Aggregation):
    """R-MAC with the generalised mean of each region in place of its maximum, and a trained exponent.

    levels, whole, whiten: as in `RMAC`. p: the initial exponent, one for all channels and regions. The rest is as in
    `Aggregation`. Raises UsageError for a `p` of 1 or less.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 3,
        whole: bool = False,
        p: float = 3.0,
        whiten: bool = True,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(channels, channels, whiten=whiten, dimension=dimension, power=power)
        self.regions, self.exponent = _grid(levels, whole=whole), Exponent(p)

    def aggregate(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), float32 or float64, to unit vectors (B, D)."""
        return pool(maps, "rgem", **self.regions, p=self.exponent(), whitening=self.whitening)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the vectors of their regions (B, R, C)."""
        p: Any = self.exponent()
        return rgem_regions(maps, **self.regions, p=p)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return regional GeM with its regions and its current exponent."""
        return {"pooling": "rgem", "pooling_options": {**self.regions, "p": self.exponent.value()}}
