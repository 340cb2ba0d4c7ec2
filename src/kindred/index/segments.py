"""Segments: the images of an index in a few sorted parts, joined so that an added one moves few of those before.

A sorted part cannot grow at its end. So an addition becomes a part of its own, and parts are joined while the last
is no larger than what comes after it: they shrink from the front to the back, as the digits of a binary counter.
There are few, and an image moves log2 N times at most. Source: Bentley and Saxe 1980, the logarithmic method.

An image that is described again keeps its id: what is new of it comes at the end, and `order` says where each lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.id_map import WORN_SHARE, IdMap

__all__ = ["Segment", "Segments", "View"]


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
Scalar = TypeVar("Scalar", bound=np.generic)


class View(NamedTuple, Generic[Part]):
    """The ids of all images, and the parts that hold them, the images of one after those of the other.

    order: (N,) int64, the place in the parts of each id; None where they lie in order of id.
    """

    live: IdMap
    parts: tuple[Part, ...]
    order: NDArray[np.int64] | None = None

    def by_id(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return values of the images, as the parts have them, in order of id."""
        return values if self.order is None else values[self.order]


class Segments(Generic[Part]):
    """Parts under ids.

    `state` is replaced as a whole, and what it held is never changed: a search that runs beside a change sees the state
    before or after it. One thread at a time may change it.
    """

    def __init__(self) -> None:
        self.state: View[Part] = View(IdMap(), ())

    def add(self, ids: NDArray[np.int64], part: Part) -> None:
        """Add a part whose images are `ids` (count,); raises UsageError unless these ascend, above all before."""
        live, parts, order = self.state
        extended = live.extended(ids)
        if order is not None:
            order = np.concatenate((order, _count(parts) + np.arange(ids.size)))
        self.state = View(extended, _appended(parts, part), order)

    def replace(self, ids: NDArray[np.int64], part: Part) -> None:
        """Add a part whose images are `ids` (count,), ascending; those of them that are here already go."""
        live, parts, order = self.state
        if not ids.size or ids[0] > live.last:
            self.add(ids, part)
            return
        every = np.union1d(live.ids, ids)
        alive, places = np.zeros(every.size, np.bool_), np.empty(every.size, np.int64)
        before, now = np.searchsorted(every, live.ids), np.searchsorted(every, ids)
        alive[before], places[before] = live.alive, np.arange(live.ids.size) if order is None else order
        alive[now], places[now] = True, _count(parts) + np.arange(ids.size)
        self.state = _tidied(View(IdMap(every, alive), _appended(parts, part), places))

    def remove(self, ids: ArrayLike) -> int:
        """Make images impossible to find; ids that are not here are passed over. Return how many were."""
        live, parts, order = self.state
        rest = live.without(ids)
        self.state = _tidied(View(rest, parts, order))
        return live.count - rest.count


def _appended(parts: tuple[Part, ...], part: Part) -> tuple[Part, ...]:
    kept = list(parts)
    while kept and kept[-1].count <= part.count:
        part = kept.pop().joined(part)
    return (*kept, part)


def _count(parts: Iterable[Segment]) -> int:
    return sum(part.count for part in parts)


def _tidied(view: View[Part]) -> View[Part]:
    """Return the living images alone where more of those in the parts are dead, or in place of which others came."""
    live, parts, order = view
    held = _count(parts)
    if held - live.count <= WORN_SHARE * held:
        return view
    kept = np.zeros(held, np.bool_)
    places = np.flatnonzero(live.alive) if order is None else order[live.alive]
    kept[places] = True
    masks = np.split(kept, np.cumsum([part.count for part in parts])[:-1])
    left = tuple(part.alive(mask) for part, mask in zip(parts, masks, strict=True) if mask.any())
    renumbered = (np.cumsum(kept) - 1)[places]
    in_order = bool((np.diff(renumbered) > 0).all())
    return View(live.compacted(), left, None if in_order else renumbered)
