"""Segments: the images of an index in a few sorted segments, merged so that an addition moves few images.

A sorted segment cannot be extended in place. Each addition becomes a segment of its own, and segments are merged while
the last is no larger than the new one: sizes decrease from front to back, as in a binary counter. There are at most
log2 N segments, and an image is moved at most log2 N times. Source: Bentley and Saxe 1980, the logarithmic method.

An image that is described again keeps its id: its new rows are appended, and `order` maps ids to positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.index.id_map import REMOVED_SHARE, IdMap

__all__ = ["Segment", "SegmentedIndex", "Segments", "View"]


class Segment(Protocol):
    """Data of images 0 … count − 1."""

    @property
    def count(self) -> int:
        """The number of images."""
        ...

    def joined(self, other: Self) -> Self:
        """Return a segment of the images of both, with those of `other` last."""
        ...

    def alive(self, images: NDArray[np.bool_]) -> Self:
        """Return a segment of the images in the mask (count,), renumbered."""
        ...


SegmentT = TypeVar("SegmentT", bound=Segment)
Scalar = TypeVar("Scalar", bound=np.generic)


class View(NamedTuple, Generic[SegmentT]):
    """The ids of all images, and the consecutive segments of these images.

    order: (N,) int64, the position of each id in the segments; None if these are in order of id.
    """

    live: IdMap
    segments: tuple[SegmentT, ...]
    order: NDArray[np.int64] | None = None

    def by_id(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return values of the images, given in the order of the segments, in order of id."""
        return values if self.order is None else values[self.order]


class Segments(Generic[SegmentT]):
    """Segments with the ids of their images.

    `state` is replaced as a whole and never changed in place: a concurrent search sees the state before or after a
    change. One thread at a time may change it.
    """

    def __init__(self) -> None:
        self.state: View[SegmentT] = View(IdMap(), ())

    def add(self, ids: NDArray[np.int64], segment: SegmentT) -> None:
        """Add a segment of images `ids` (count,); raises UsageError unless these ascend, above all ids before."""
        live, segments, order = self.state
        extended = live.extended(ids)
        if order is not None:
            order = np.concatenate((order, _count(segments) + np.arange(ids.size)))
        self.state = View(extended, _appended(segments, segment), order)

    def replace(self, ids: NDArray[np.int64], segment: SegmentT) -> None:
        """Add a segment of images `ids` (count,), ascending, replacing those with the same ids."""
        live, segments, order = self.state
        if not ids.size or ids[0] > live.last:
            self.add(ids, segment)
            return
        every = np.union1d(live.ids, ids)
        alive, places = np.zeros(every.size, np.bool_), np.empty(every.size, np.int64)
        before, now = np.searchsorted(every, live.ids), np.searchsorted(every, ids)
        alive[before], places[before] = live.alive, np.arange(live.ids.size) if order is None else order
        alive[now], places[now] = True, _count(segments) + np.arange(ids.size)
        self.state = _compacted(View(IdMap(every, alive), _appended(segments, segment), places))

    def remove(self, ids: ArrayLike) -> int:
        """Make images impossible to find; ids that are not here are passed over. Return how many were."""
        live, segments, order = self.state
        rest = live.without(ids)
        self.state = _compacted(View(rest, segments, order))
        return live.count - rest.count


class SegmentedIndex(Generic[SegmentT]):
    """The part that indexes over `Segments` have in common: their images, and how these are removed."""

    def __init__(self) -> None:
        self._segments: Segments[SegmentT] = Segments()

    def __len__(self) -> int:
        """Return the number of images that can be found."""
        return self.live.count

    @property
    def live(self) -> IdMap:
        """The ids of the images."""
        return self._segments.state.live

    def remove(self, ids: ArrayLike) -> int:
        """Make images impossible to find; ids that are not here are passed over. Return how many were."""
        return self._segments.remove(ids)


def _appended(segments: tuple[SegmentT, ...], segment: SegmentT) -> tuple[SegmentT, ...]:
    unmerged = list(segments)
    while unmerged and unmerged[-1].count <= segment.count:
        segment = unmerged.pop().joined(segment)
    return (*unmerged, segment)


def _count(segments: Iterable[Segment]) -> int:
    return sum(segment.count for segment in segments)


def _compacted(view: View[SegmentT]) -> View[SegmentT]:
    """Return the live images only, if more than `REMOVED_SHARE` of the stored images are removed or replaced."""
    live, segments, order = view
    stored = _count(segments)
    if stored - live.count <= REMOVED_SHARE * stored:
        return view
    kept = np.zeros(stored, np.bool_)
    places = np.flatnonzero(live.alive) if order is None else order[live.alive]
    kept[places] = True
    masks = np.split(kept, np.cumsum([segment.count for segment in segments])[:-1])
    left = tuple(segment.alive(mask) for segment, mask in zip(segments, masks, strict=True) if mask.any())
    renumbered = (np.cumsum(kept) - 1)[places]
    in_order = bool((np.diff(renumbered) > 0).all())
    return View(live.compacted(), left, None if in_order else renumbered)
