"""Executor: the interface of what describes many files, in this process or on other machines."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from kindred.describer.describer import Describer
from kindred.describer.description import Description

__all__ = ["Executor", "LocalExecutor"]

T = TypeVar("T")


class Executor(Protocol):
    """Describes files. Paths go out, descriptions come back; the pixels stay where they are decoded."""

    def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        """Describe any number of (key, path), in any order; each key comes back exactly once.

        An unusable image yields its error, also if it ended the process that described it. `items` is read in the
        calling thread, only as far ahead as the describers need. Close the generator if it is not run to its end.
        """
        ...


class LocalExecutor:
    """Describes files in this process: threads decode while the network runs."""

    def __init__(self, describer: Describer) -> None:
        self.describer = describer

    def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        """Describe any number of (key, path)."""
        return self.describer.stream(items)
