"""What an evaluation needs to know of re-rankers: their names, and what they prepare once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from kindred.rerank import Gallery, Method, RerankCache
from kindred.rerank.cache import Cacheable

__all__ = ["TimedCache", "name_of"]

Made = TypeVar("Made", bound=Cacheable)


def name_of(method: Method) -> str:
    """Return what a re-ranker is called: "alpha_qe:n=10,alpha=3", or the name of a function."""
    if isinstance(method, str):
        return method
    if isinstance(method, tuple):
        name, options = method
        return name + ":" * bool(options) + ",".join(f"{key}={_plain(value)}" for key, value in options.items())
    return str(getattr(method, "__name__", type(method).__name__))


def _plain(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


class TimedCache(RerankCache):
    """What re-rankers compute once for a gallery, with the seconds that it takes: it is no part of a query's time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._busy = False

    def get(self, kind: type[Made], key: str, make: Callable[[], Made], *, gallery: Gallery) -> Made:
        """Return what is stored or made, and count the seconds."""
        if self._busy:  # within another
            return super().get(kind, key, make, gallery=gallery)
        self._busy, began = True, time.perf_counter()
        try:
            return super().get(kind, key, make, gallery=gallery)
        finally:
            self._busy = False
            self.seconds += time.perf_counter() - began
