"""Power-law normalisation: reduces the largest components."""

from __future__ import annotations

from typing import Any

from kindred.arrays import ArrayT, check_positive, floating, namespace

__all__ = ["power_law"]


def power_law(x: ArrayT, *, alpha: float = 0.5) -> ArrayT:
    """Return sign(x) · |x|^alpha of every component, in the shape of `x`; L2-normalise it afterwards.

    alpha = 0.5 is the signed square root, 1 is the identity. NumPy or PyTorch; the gradient at 0, infinite for
    alpha < 1, is defined as 0. Source: Perronnin, Sánchez and Mensink 2010.
    """
    check_positive(alpha=alpha)
    xp = namespace(x)
    values: Any = floating(x)
    # 1 replaces 0, where the sign is 0: a power below 1 has no finite gradient there.
    damped: ArrayT = xp.sign(values) * xp.where(values != 0, xp.abs(values), 1.0) ** alpha
    return damped
