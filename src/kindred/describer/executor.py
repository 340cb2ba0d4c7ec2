"""Executor: the interface of what describes many files, in this process or on other machines."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from kindred.describer.describer import Describer, DescriberOptions
from kindred.describer.description import Description
from kindred.errors import UsageError

__all__ = ["EXECUTORS", "Executor", "LocalExecutor", "executor_of"]

T = TypeVar("T")

EXECUTORS = "local, ray or ray://HOST:PORT"
"""The names of executors."""


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


def executor_of(
    name: str, describer: Describer, options: DescriberOptions, *, roots: Sequence[Path] = ()
) -> Executor | None:
    """Return the executor of that name, which describes as `describer` does; None for "local", this process.

    "ray": the Ray cluster of this machine, or one that is started for the run; with an address, "ray://HOST:PORT", one
    elsewhere. Its workers have as many cores as `options.workers`, a GPU each if `options.device` is one, and may read
    the remote addresses among `roots`. Raises UsageError for other names, MissingExtra if Ray is not installed.
    """
    from kindred.describer.on_ray import RayExecutor, is_ray_address
    from kindred.describer.worker import DescriberParcel

    if name == "local":
        return None
    if not is_ray_address(name):
        shown = "an address with an @" if "@" in name else repr(name[:100])  # before it may be a password
        raise UsageError(f"unknown executor {shown}; expected {EXECUTORS}")
    return RayExecutor(
        DescriberParcel.of(describer.recipe, options, roots=roots),
        fingerprint=describer.fingerprint,
        address=name,
        cores=options.workers,
        gpu=(options.device or "").startswith("cuda"),
    )
