"""The base class of trainable aggregations: maps to unit vectors, and the recipe keys that do the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from kindred.arrays import Vectors, floating, l2_normalise, to_numpy
from kindred.describer import FittedParameters
from kindred.embedding import Codebook
from kindred.errors import UsageError
from kindred.recipe import Option
from kindred.training.aggregation.whitening import WhiteningLayer

__all__ = ["Aggregation"]


class Aggregation(nn.Module):
    """Maps (B, C, H, W) to unit vectors (B, D), computed in float32 for maps of any precision.

    channels: C. width: dimension of a vector before the whitening. whiten, dimension: whether a whitening layer comes
    last, and the dimension that it reduces to; with a dimension there always is one. power: as in `WhiteningLayer`.
    Subclasses define `unwhitened` and `recipe_keys`.
    """

    def __init__(
        self, channels: int, width: int, *, whiten: bool = False, dimension: int | None = None, power: float = 0.5
    ) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        wanted = whiten or dimension is not None
        self.whitening = WhiteningLayer(width, dimension, power=power) if wanted else None

    @property
    def dimension(self) -> int:
        """D, the dimension of a vector."""
        return self.width if self.whitening is None else self.whitening.dimension

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), of any precision, to unit vectors (B, D); raises UsageError for other channels."""
        if maps.ndim != 4 or maps.shape[1] != self.channels:
            raise UsageError(f"maps: got shape {tuple(maps.shape)}; expected (B, {self.channels}, H, W)")
        # In half precision powers and sums of squares overflow, and small weights are lost in products.
        with torch.autocast(maps.device.type, enabled=False):
            return self.aggregate(floating(maps))

    def aggregate(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), float32 or float64, to unit vectors (B, D)."""
        unit: Tensor = l2_normalise(self.unwhitened(maps))
        return unit if self.whitening is None else self.whitening(unit)

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the vectors to be whitened: (B, width), or (B, R, width) of R regions."""
        raise NotImplementedError

    def initialise(self, maps: Iterable[Tensor]) -> None:
        """Fit the initial parameters, here the whitening, on maps of training images in batches (B, C, H, W).

        Raises UsageError if there are too few images.
        """
        if self.whitening is not None:
            self.whitening.initialise(_rows(self.unwhitened, maps))

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return the keys of a recipe that aggregates the same way: the pooling or the embedding, with its options."""
        raise NotImplementedError

    def codebooks(self) -> tuple[Codebook, ...]:
        """Return the codebook that the embedding of `recipe_keys` needs, if it needs one."""
        return ()

    def fitted(self) -> FittedParameters:
        """Return the fitted parameters of a recipe with `recipe_keys`, for describing without PyTorch."""
        return FittedParameters(self.codebooks(), () if self.whitening is None else (self.whitening.to_whitening(),))


@torch.no_grad()
def _rows(function: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Iterator[Vectors]:
    """Yield the unit vectors (n, width) that `function` makes of batches of maps."""
    for maps in batches:
        found = function(floating(maps))
        yield to_numpy(l2_normalise(found.reshape(-1, found.shape[-1])))
