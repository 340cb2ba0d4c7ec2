"""The whitening layer: the last fully connected layer of a network that describes, started as a PCA whitening."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kindred.arrays import Vectors, l2_normalise, like, to_numpy
from kindred.errors import UsageError
from kindred.whitening import LearnedWhitening, PCAWhitening, Whitening

__all__ = ["WhiteningLayer"]


class WhiteningLayer(nn.Module):
    """y = l2(P (x − m)), P and m trained: vectors (N, D) to unit vectors (N, D_out) (Gordo et al. 2016).

    width, dimension: D and D_out, by default the same. power: of the PCA whitening of `initialise`; 0.5 gives all
    directions the same variance, 0 only rotates. Until then P is the first rows of the identity, and m is 0. The
    parameters are `projection`, P (D_out, D), and `mean`, m (D,). Raises UsageError for a dimension above the width.
    """

    def __init__(self, width: int, dimension: int | None = None, *, power: float = 0.5) -> None:
        super().__init__()
        self.width, self.dimension, self.power = width, width if dimension is None else dimension, power
        if not 1 <= self.dimension <= width:
            raise UsageError(f"dimension: got {dimension}; expected 1 to {width}, that of the vectors")
        self.mean = nn.Parameter(torch.zeros(width))
        self.projection = nn.Parameter(torch.eye(self.dimension, width))

    def forward(self, rows: Tensor) -> Tensor:
        """Whiten vectors (N, D), as `kindred.whitening.Whitening.transform` does: to unit vectors (N, D_out)."""
        unit: Tensor = l2_normalise((rows - like(self.mean, rows)) @ like(self.projection, rows).T)
        return unit

    def initialise(self, batches: Vectors | Iterable[Vectors]) -> None:
        """Set P and m to the PCA whitening of vectors (N, D) of training images, all at once or in batches.

        Raises UsageError if there are too few (`PCAWhitening.fit`).
        """
        self.load(PCAWhitening.fit(batches, dimension=self.dimension, power=self.power))

    @torch.no_grad()
    def load(self, whitening: Whitening) -> None:
        """Copy the mean and the projection of a whitening; raises UsageError if its shape is another."""
        if whitening.projection.shape != self.projection.shape:
            raise UsageError(f"projection: got {whitening.projection.shape}; expected {tuple(self.projection.shape)}")
        self.mean.copy_(torch.from_numpy(whitening.mean))
        self.projection.copy_(torch.from_numpy(whitening.projection))

    def to_whitening(self) -> LearnedWhitening:
        """Return the same whitening for describing, without PyTorch."""
        return LearnedWhitening(to_numpy(self.mean.float()), to_numpy(self.projection.float()))
