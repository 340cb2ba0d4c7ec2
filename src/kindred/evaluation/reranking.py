"""Re-rankers in an evaluation: their names, and the time of what they compute once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from kindred.rerank import Gallery, Method, RerankCache
from kindred.rerank.cache import Cacheable

__all__ = ["TimedCache", "name_of"]

Made = TypeVar("Made", bound=Cacheable)


def name_of(method: Method) -> str:
    """Return the name of a re-ranker: "alpha_qe:n=10,alpha=3", or the name of a function."""
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
    """A cache that counts the seconds spent on results for a whole gallery, which are not part of a query's time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._busy = False

    def get(self, kind: type[Made], key: str, make: Callable[[], Made], *, gallery: Gallery) -> Made:
        """Return the cached or computed result, and count the seconds."""
        if self._busy:  # nested in another computation
            return super().get(kind, key, make, gallery=gallery)
        self._busy, began = True, time.perf_counter()
        try:
            return super().get(kind, key, make, gallery=gallery)
        finally:
            self._busy = False
            self.seconds += time.perf_counter() - began
