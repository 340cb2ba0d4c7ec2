"""Decode and prepare images on threads, ahead of the consumer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from kindred._support.prefetch import prefetched
from kindred.errors import ImageError

__all__ = ["prepared_ahead"]

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 - input item
P = TypeVar("P")

SPARE = 8  # images prepared beyond four per worker, so that the network never waits


def prepared_ahead(
    items: Iterable[tuple[K, I]], prepare: Callable[[I], P], *, workers: int
) -> Generator[tuple[K, P | ImageError], None, None]:
    """Yield (key, prepared item) for each (key, item), in order; an unusable item yields its `ImageError` instead.

    Close the generator if it is not run to its end.
    """

    def attempt(entry: tuple[K, I]) -> tuple[K, P | ImageError]:
        key, item = entry
        try:
            return key, prepare(item)
        except ImageError as error:
            return key, error

    return prefetched(attempt, items, workers=workers, ahead=4 * workers + SPARE)
