"""Prepare images on threads, a few ahead of whoever takes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from kindred._support.prefetch import prefetched
from kindred.errors import ImageError

__all__ = ["prepared_ahead"]

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 - what goes in
P = TypeVar("P")

SPARE = 8  # images prepared beyond four for each worker, so that the network never waits


def prepared_ahead(
    items: Iterable[tuple[K, I]], prepare: Callable[[I], P], *, workers: int
) -> Generator[tuple[K, P | ImageError], None, None]:
    """Yield (key, prepared) for each (key, item), in order; an `ImageError` stands for what cannot be used.

    Close it where it is left early.
    """

    def attempt(entry: tuple[K, I]) -> tuple[K, P | ImageError]:
        key, item = entry
        try:
            return key, prepare(item)
        except ImageError as error:
            return key, error

    return prefetched(attempt, items, workers=workers, ahead=4 * workers + SPARE)
