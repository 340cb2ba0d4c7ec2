"""Relations: which pairs of images are positive, negative or unknown; all losses on pairs take them."""

from __future__ import annotations

from typing import Any

from array_api_compat import device

from kindred.arrays import ArrayT, namespace
from kindred.errors import UsageError

__all__ = ["relation_of"]


def relation_of(
    labels: ArrayT,
    others: ArrayT | None = None,
    *,
    images: ArrayT | None = None,
    other_images: ArrayT | None = None,
) -> ArrayT:
    """Return the relation (B, M) int8 of labels (B,) and (M,): 1 for equal ones, −1 for different ones, 0 for unknown.

    A pair with a label below 0 is unknown. An image with itself is 0, too: the diagonal where `others` is None or
    `labels` itself, and equal indices where `images` (B,) and `other_images` (M,) are given. NumPy or PyTorch. Raises
    UsageError for indices of one side alone.

    >>> import numpy as np
    >>> relation_of(np.array([4, 4, 7]))
    array([[ 0,  1, -1],
           [ 1,  0, -1],
           [-1, -1,  0]], dtype=int8)
    """
    same_batch = others is None or others is labels
    if same_batch and other_images is None:
        other_images = images
    if (images is None) != (other_images is None):
        raise UsageError("images: got the indices of one side alone; expected both or none")
    xp, rows = namespace(labels), _untyped(labels)
    columns = rows if others is None else _untyped(others)
    known = (rows >= 0)[:, None] & (columns >= 0)[None, :]
    if same_batch:
        known = known & ~xp.eye(len(rows), dtype=xp.bool, device=device(rows))
    if images is not None:
        known = known & (_untyped(images)[:, None] != _untyped(other_images)[None, :])
    alike = xp.astype(rows[:, None] == columns[None, :], xp.int8)
    relation: ArrayT = xp.astype(known, xp.int8) * (2 * alike - 1)
    return relation


def _untyped(x: ArrayT | None) -> Any:
    """Return `x` for the array API, whose functions have no static types."""
    return x
