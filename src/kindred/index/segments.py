"""Segments: the images of an index in a few sorted parts, joined so that an added one moves few of those before.

A sorted part cannot grow at its end. So an addition becomes a part of its own, and parts are joined while the last
is no larger than what comes after it: they shrink from the front to the back, as the digits of a binary counter.
There are few, and an image moves log2 N times at most. Source: Bentley and Saxe 1980, the logarithmic method.
"""

from __future__ import annotations

from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.id_map import IdMap

__all__ = ["Segment", "Segments"]


class Segment(Protocol):
    """A part: what it holds of images numbered 0 … count − 1."""

    @property
    def count(self) -> int:
        """The number of images."""
        ...

    def joined(self, other: Self) -> Self:
        """Return the images of both, those of `other` after these."""
        ...

    def alive(self, images: NDArray[np.bool_]) -> Self:
        """Return some images, a mask (count,), numbered anew."""
        ...


Part = TypeVar("Part", bound=Segment)


class Segments(Generic[Part]):
    """Parts under ids, the images of one after those of the other.

    `state` is the ids of all images and the parts. It is replaced as a whole, and what it held is never changed: a
    search that runs beside a change sees the state before or after it. One thread at a time may change it.
    """

    def __init__(self) -> None:
        self.state: tuple[IdMap, tuple[Part, ...]] = (IdMap(), ())

    def add(self, ids: NDArray[np.int64], part: Part) -> None:
        """Add a part whose images are `ids` (count,); raises UsageError unless these ascend, above all before."""
        live, parts = self.state
        extended = live.extended(ids)
        kept = list(parts)
        while kept and kept[-1].count <= part.count:
            part = kept.pop().joined(part)
        self.state = (extended, (*kept, part))

    def remove(self, ids: ArrayLike) -> int:
        """Make images impossible to find; ids that are not here are passed over. Return how many were."""
        live, parts = self.state
        rest = live.without(ids)
        removed = live.count - rest.count
        if rest.worn:
            masks = np.split(rest.alive, np.cumsum([each.count for each in parts])[:-1])
            parts = tuple(each.alive(mask) for each, mask in zip(parts, masks, strict=True) if mask.any())
            rest = rest.compacted()
        self.state = (rest, parts)
        return removed
