"""Weights at half precision, rounded so that they compress."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["compressible_half"]

SPARE_BITS = 3  # of the mantissa of a float16, which has three more than that of a bfloat16


def compressible_half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return values as float16, rounded to the precision of bfloat16: a package compresses the zeros that remain.

    Ties go to the even neighbour, as where an engine rounds to bfloat16 itself. A carry into the exponent is right: it
    gives the next number.
    """
    bits = values.astype(np.float16).view(np.uint16)
    unit = np.uint16(1 << SPARE_BITS)
    carry = (bits >> SPARE_BITS) & 1
    rounded: NDArray[np.float16] = ((bits + (unit // 2 - 1) + carry) & ~(unit - 1)).astype(np.uint16).view(np.float16)
    return rounded
