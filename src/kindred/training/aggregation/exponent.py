"""The trainable exponent of a generalised mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kindred.errors import UsageError

__all__ = ["Exponent"]


class Exponent(nn.Module):
    """p of GeM, one for all channels or one for each, always above 1 (Radenović et al. 2018).

    The parameter is `free`, with p = 1 + softplus(free). Below 1 the mean would favour weak activations; a clipped p
    would have no gradient there, and changing the parameter in place would break a backward pass. At p = 3 a step
    changes p by 0.87 of the change of `free`, so that the papers' learning rates hold; near 1 by less. p: the initial
    value. channels: how many exponents, 0 for one that all channels share. Raises UsageError for a `p` of 1 or less.
    """

    def __init__(self, p: float = 3.0, *, channels: int = 0) -> None:
        super().__init__()
        if not 1 < p < math.inf:
            raise UsageError(f"p: got {p}; expected a finite number above 1")
        rest = p - 1
        # log(exp(rest) − 1), which is rest itself where the exponential would overflow.
        start = rest + math.log(-math.expm1(-rest))
        self.free = nn.Parameter(torch.full((channels or 1,), start))

    def forward(self) -> Tensor:
        """Return p: (1,), or (C,)."""
        return 1 + nn.functional.softplus(self.free)

    def value(self) -> float | tuple[float, ...]:
        """Return p as a recipe has it: a number, or one for each channel."""
        p = self().detach().tolist()
        return float(p[0]) if len(p) == 1 else tuple(p)
