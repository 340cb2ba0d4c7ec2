"""Everything Kindred raises on purpose.

KindredError
├── UsageError            an argument that cannot be meant; nothing was done
├── ImageError            one image cannot be used (.path, .reason)
├── ModelError            a model or its card is missing, damaged or of the wrong kind
├── RecipeError           a recipe with an unknown, missing or contradictory key
├── LibraryError          a library cannot be used as asked
│   ├── LibraryNotFound   there is none at that path
│   ├── LibraryLocked     another process is writing to it
│   ├── LibraryTooNew     written by a newer Kindred
│   ├── LibraryDamaged    its database is not readable
│   ├── LibraryFull       the disk has no room left
│   └── RecipeMismatch    it was made with another recipe
├── TrainingError         a training run cannot start or go on
└── MissingExtra          an optional package is not installed (.feature, .extra)

Each message is one line: what was given, what was expected, what to do.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ImageError",
    "KindredError",
    "LibraryDamaged",
    "LibraryError",
    "LibraryFull",
    "LibraryLocked",
    "LibraryNotFound",
    "LibraryTooNew",
    "MissingExtra",
    "ModelError",
    "RecipeError",
    "RecipeMismatch",
    "TrainingError",
    "UsageError",
]


class KindredError(Exception):
    """Base of every error that Kindred raises on purpose."""


class UsageError(KindredError):
    """An argument that cannot be meant; nothing was done."""


class ImageError(KindredError):
    """One image cannot be used; a run records the reason and goes on."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ModelError(KindredError):
    """A model or its card is missing, damaged or of the wrong kind."""


class RecipeError(KindredError):
    """A recipe with an unknown, missing or contradictory key."""


class LibraryError(KindredError):
    """A library cannot be used as asked."""


class LibraryNotFound(LibraryError):
    """There is no library at that path."""


class LibraryLocked(LibraryError):
    """Another process is writing to the library."""


class LibraryTooNew(LibraryError):
    """The library was written by a newer Kindred."""


class LibraryDamaged(LibraryError):
    """The library's database is not readable."""


class LibraryFull(LibraryError):
    """The disk has no room left; what was committed before is safe."""


class RecipeMismatch(LibraryError):
    """The library was made with another recipe."""


class TrainingError(KindredError):
    """A training run cannot start or go on."""


class MissingExtra(KindredError):
    """An optional package is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: pip install 'kindred[{extra}]'")
        self.feature = feature
        self.extra = extra
