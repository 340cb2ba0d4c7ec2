"""Dispatch: which images go to which worker, and what happens to those of a worker that was lost.

A worker has several batches at a time, so that it never waits. If it is lost, each batch that it had is given once
more, to a worker that has nothing else. If that is lost as well, the images of the batch are given one at a time. An
image with which two workers were lost is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Generic, TypeVar

from kindred._support.retries import BATCH_TRIES, IMAGE_TRIES

__all__ = ["Dispatch"]

T = TypeVar("T")
W = TypeVar("W", bound=Hashable)


@dataclass(eq=False)
class _Batch:
    """Images by number, with which `lost` workers were lost. single: one image of a batch that was lost twice."""

    numbers: set[int]
    lost: int = 0
    single: bool = False

    @property
    def suspect(self) -> bool:
        """Whether a worker may be lost with it again, and must have nothing else."""
        return self.single or self.lost > 0


class Dispatch(Generic[T, W]):
    """The images (key, path) on their way to workers W and back.

    batch: images sent at once. window: the most that a worker has at a time. `items` is read when a worker has room.
    """

    def __init__(self, items: Iterator[tuple[T, Path]], *, batch: int, window: int) -> None:
        self.batch, self.window = batch, window
        self._items = items
        self._exhausted = False
        self._images: dict[int, tuple[T, Path]] = {}  # those that have not come back, by number
        self._next = 0
        self._again: deque[_Batch] = deque()
        self._with: dict[W, list[_Batch]] = {}

    @property
    def finished(self) -> bool:
        """Whether every image has come back, or was given up."""
        return self._exhausted and not self._images

    def has_more(self) -> bool:
        """Return whether images wait for a worker."""
        if self._again:
            return True
        if not self._exhausted:
            following = list(islice(self._items, 1))
            self._exhausted = not following
            self._items = chain(following, self._items)
        return not self._exhausted

    def load(self, worker: W) -> int:
        """Return how many images a worker has."""
        return sum(len(batch.numbers) for batch in self._with.get(worker, ()))

    def take(self, worker: W) -> list[tuple[int, Path]]:
        """Return the number and path of images for a worker, [] if it has enough or there are none for now."""
        own = self._with.setdefault(worker, [])
        load = self.load(worker)
        if self._again and not load:
            batch = self._again.popleft()
        elif load + self.batch > self.window or any(each.suspect for each in own if each.numbers):
            return []
        else:
            batch = self._fresh()
        if not batch.numbers:
            return []
        self._with[worker] = [each for each in own if each.numbers] + [batch]
        return [(number, self._images[number][1]) for number in sorted(batch.numbers)]

    def _fresh(self) -> _Batch:
        numbers = set()
        for image in islice(self._items, self.batch):
            self._images[self._next] = image
            numbers.add(self._next)
            self._next += 1
        self._exhausted = self._exhausted or len(numbers) < self.batch
        return _Batch(numbers)

    def done(self, worker: W, number: int) -> tuple[T, Path] | None:
        """Note that an image has come back from a worker; return it, None if it has come back before."""
        for batch in self._with.get(worker, ()):
            batch.numbers.discard(number)
        return self._images.pop(number, None)

    def returned(self, worker: W) -> None:
        """Give the images of a worker to others, for a reason that lies not in them."""
        self._again.extend(batch for batch in self._with.pop(worker, ()) if batch.numbers)

    def lost(self, worker: W) -> list[tuple[T, Path]]:
        """Note that a worker was lost; return the images that are given up with it."""
        given_up = []
        for batch in self._with.pop(worker, ()):
            batch.lost += 1
            if not batch.numbers:
                continue
            if batch.single and batch.lost >= IMAGE_TRIES:
                given_up += [self._images.pop(number) for number in batch.numbers]
            elif batch.single or batch.lost < BATCH_TRIES:
                self._again.append(batch)
            else:
                self._again.extend(_Batch({number}, single=True) for number in sorted(batch.numbers))
        return given_up
