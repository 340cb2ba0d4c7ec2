"""Fitted: what was learned is made again of the arrays of a file, or an error says what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from kindred.errors import ModelError, UsageError

__all__ = ["ArrayMap", "restoring"]

ArrayMap = Mapping[str, NDArray[Any]]
"""Arrays by name, as `numpy.load` reads them from a file."""


@contextmanager
def restoring(what: str, arrays: ArrayMap, *names: str, remedy: str = "fit it again") -> Iterator[list[NDArray[Any]]]:
    """Give the arrays of those names, to make `what` of them.

    Raises ModelError where one is missing, and in place of an error that comes of their being of wrong shapes, kinds
    or values.
    """
    if missing := [name for name in names if name not in arrays]:
        raise ModelError(f"{what}: {', '.join(missing)} missing; expected {', '.join(names)}")
    try:
        yield [arrays[name] for name in names]
    except (UsageError, TypeError, ValueError) as error:
        raise ModelError(f"{what}: damaged ({error}); {remedy}") from None
