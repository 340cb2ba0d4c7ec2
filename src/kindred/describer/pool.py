"""Describing by a pool of workers, whatever they run on: send batches, receive descriptions, survive lost workers."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from kindred._support.retries import LOST
from kindred.describer.description import Description
from kindred.describer.dispatch import Dispatch
from kindred.errors import ImageError, ServerError

__all__ = ["BATCH", "WINDOW", "Came", "Pool", "described_by"]

T = TypeVar("T")

BATCH = 64  # images sent at once
WINDOW = 512
"""Images that a worker has at a time; a network is the faster the more images of one shape it can put together."""
FAILED_STARTS = 3
"""Workers lost in a row before they were ready, while no other describes anything: the fault is not in an image."""

Worker = Hashable
Batch = Sequence[tuple[int, Path]]


@dataclass(frozen=True)
class Came:
    """What came from a worker: that it is ready for images, descriptions with the numbers of images, or its end."""

    worker: Worker
    descriptions: Sequence[Description[int]] = ()
    lost: bool = False


class Pool(Protocol):
    """Workers, each of which describes images in a process of its own."""

    def has_room(self) -> bool:
        """Return whether one more worker can be started."""
        ...

    def start(self) -> Worker:
        """Start a worker and return its name; it comes from `wait` when it is ready."""
        ...

    def send(self, worker: Worker, batch: Batch) -> None:
        """Give images, perhaps none, to a worker that is ready; it comes from `wait` once, and is ready again then."""
        ...

    def wait(self) -> list[Came]:
        """Return what has come, perhaps nothing, within a second or so.

        Raises what a worker raised that is not the fault of an image, and ServerError if workers do not start.
        """
        ...

    def close(self) -> None:
        """End all workers."""
        ...


def described_by(pool: Pool, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
    """Describe any number of (key, path) by the workers of a pool; as `kindred.describer.Executor.describe`."""
    run = _Run[T](pool, iter(items))
    with closing(pool):
        while run.dispatch.has_more() or not run.dispatch.finished:
            run.start_workers()
            for came in pool.wait():
                yield from run.receive(came)
            run.wake_idle()


def _with_key(described: Description[int], key: T) -> Description[T]:
    """Return a description with the key of its image."""
    found: Description[Any] = described
    return replace(found, key=key)


class _Run(Generic[T]):
    """One run: what each worker has, and which workers wait for images."""

    def __init__(self, pool: Pool, items: Iterator[tuple[T, Path]]) -> None:
        self.pool = pool
        self.dispatch: Dispatch[T, Worker] = Dispatch(items, batch=BATCH, window=WINDOW)
        self.starting: dict[Worker, Batch] = {}
        self.idle: set[Worker] = set()
        self.failed_starts = 0

    def start_workers(self) -> None:
        """Start workers as long as there are images for them."""
        while self.pool.has_room() and not self.idle and self.dispatch.has_more():
            worker = self.pool.start()
            self.starting[worker] = self.dispatch.take(worker)

    def receive(self, came: Came) -> Iterator[Description[T]]:
        """Yield what came from a worker, and give it more images."""
        worker = came.worker
        if came.lost:
            yield from self.lose(worker)
            return
        self.failed_starts = 0
        for described in came.descriptions:
            image = self.dispatch.done(worker, described.key)
            if image is not None:
                yield _with_key(described, image[0])
        batch = self.starting.pop(worker) if worker in self.starting else self.dispatch.take(worker)
        if batch or self.dispatch.load(worker):
            self.pool.send(worker, batch)
        else:
            self.idle.add(worker)

    def lose(self, worker: Worker) -> Iterator[Description[T]]:
        """Have the images of a lost worker described by others, and yield those that are given up."""
        self.idle.discard(worker)
        if self.starting.pop(worker, None) is not None:
            self.dispatch.returned(worker)
            self.failed_starts += 1
            if self.failed_starts == FAILED_STARTS:
                raise ServerError(f"{FAILED_STARTS} workers in a row ended before they could describe an image")
            return
        for key, path in self.dispatch.lost(worker):
            yield Description(key, error=ImageError(path, LOST))

    def wake_idle(self) -> None:
        """Give images of lost workers to those that had nothing to do."""
        for worker in list(self.idle):
            if batch := self.dispatch.take(worker):
                self.idle.discard(worker)
                self.pool.send(worker, batch)
