"""Everything Kindred raises on purpose.

KindredError
├── UsageError            an invalid argument; nothing was done
├── ImageError            one image cannot be used (.path, .reason, .final)
├── ModelError            a model or its card is missing, damaged or of the wrong kind
├── RecipeError           a recipe with an unknown, missing or contradictory key
├── LibraryError          a library cannot be used as requested
│   ├── LibraryNotFound   there is none at that path
│   ├── LibraryReplaced   it was deleted and recreated while it was open
│   ├── LibraryLocked     another process is writing to it
│   ├── LibraryUnreachable  its server does not answer
│   ├── LibraryTooNew     written by a newer Kindred
│   ├── LibraryDamaged    its database is not readable
│   ├── LibraryFull       the disk has no room left
│   └── RecipeMismatch    it was created with another recipe
├── RemoteError           a remote address cannot be listed or read (.path, .reason, .missing)
├── ServerError           a server cannot be reached, or does not do what it was asked for (.status)
├── TrainingError         a training run cannot start or continue
└── MissingExtra          an optional package is not installed (.feature, .extra)

Each message is one line: what was given, what was expected, what to do. Every error survives pickling with all its
fields, so that it can come back from a worker process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kindred.extras import needs

__all__ = [
    "ImageError",
    "KindredError",
    "LibraryDamaged",
    "LibraryError",
    "LibraryFull",
    "LibraryLocked",
    "LibraryNotFound",
    "LibraryReplaced",
    "LibraryTooNew",
    "LibraryUnreachable",
    "MissingExtra",
    "ModelError",
    "RecipeError",
    "RecipeMismatch",
    "RemoteError",
    "ServerError",
    "TrainingError",
    "UsageError",
]


class KindredError(Exception):
    """Base of every error that Kindred raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., KindredError], tuple[object, ...]]:
        # Exception's own form calls the class with the message alone, which fails where __init__ takes more.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[KindredError], arguments: tuple[object, ...], fields: dict[str, object]) -> KindredError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class UsageError(KindredError):
    """An invalid argument; nothing was done."""


class ImageError(KindredError):
    """One image cannot be used; a run records the reason and goes on.

    `final` says that the reason lies in the bytes of the image (damage, an unsupported kind), so that the same
    bytes fail again; it is False for what may change without them: a missing package, a permission, an I/O
    error, too little memory, a limit that was set.
    """

    def __init__(self, path: Path | str, reason: str, *, final: bool = True) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.final = final


class ModelError(KindredError):
    """A model or its card is missing, damaged or of the wrong kind."""


class RecipeError(KindredError):
    """A recipe with an unknown, missing or contradictory key."""


class LibraryError(KindredError):
    """A library cannot be used as requested."""


class LibraryNotFound(LibraryError):
    """There is no library at that path."""

    @classmethod
    def in_folder(cls, folder: Path) -> LibraryNotFound:
        """Return the error for a folder without a library."""
        return cls(f"{folder}: no library found; create one with kindred index, or give its folder with --library")


class LibraryReplaced(LibraryError):
    """The library was deleted and recreated while it was open."""


class LibraryLocked(LibraryError):
    """Another process is writing to the library."""


class LibraryUnreachable(LibraryError):
    """The server of the library does not answer, or not in time; the same call may succeed later."""


class LibraryTooNew(LibraryError):
    """The library was written by a newer Kindred."""


class LibraryDamaged(LibraryError):
    """The library's database is not readable."""


class LibraryFull(LibraryError):
    """The disk has no room left; what was committed before is safe."""


class RecipeMismatch(LibraryError):
    """The library was created with another recipe."""


class RemoteError(KindredError):
    """A remote address cannot be listed or read, or the user has not allowed it; the same call may succeed later.

    missing: whether the object store answered that it has nothing there.
    """

    def __init__(self, path: Path | str, reason: str, *, missing: bool = False) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.missing = missing


class ServerError(KindredError):
    """A server cannot be reached, or does not do what it was asked for.

    status: of its answer, 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class TrainingError(KindredError):
    """A training run cannot start or continue."""


class MissingExtra(KindredError):
    """An optional package is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(needs(feature, extra))
        self.feature = feature
        self.extra = extra
