"""Relations: what is known of pairs of images, which all losses on pairs take."""

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
    """Return 1 for pairs of equal labels (B,) and (M,), −1 for pairs of different ones, 0 for all others: (B, M) int8.

    Not known, 0, is a pair with a label below 0. 0 is also every image with itself: the diagonal, where `others` is
    None or `labels` themselves, and all pairs of one number, where `images` (B,) and `other_images` (M,) say the
    numbers of the images. NumPy or PyTorch. Raises UsageError for numbers of one side alone.

    >>> relation_of(np.array([4, 4, 7]))
    array([[ 0,  1, -1],
           [ 1,  0, -1],
           [-1, -1,  0]], dtype=int8)
    """
    same_batch = others is None or others is labels
    if same_batch and other_images is None:
        other_images = images
    if (images is None) != (other_images is None):
        raise UsageError("images: got the numbers of one side alone; expected both or none")
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
    """Hand `x` to the array API, whose functions have no static types."""
    return x
