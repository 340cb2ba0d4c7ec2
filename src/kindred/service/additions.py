"""The forms of images that were added by upload, of removals, and of what undoes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from kindred.service.form import Form
from kindred.service.library import SkipForm

__all__ = [
    "AddedForm",
    "Addition",
    "AdditionsForm",
    "RemovalForm",
    "RemovalsForm",
    "RemovedImagesForm",
    "RestoredForm",
    "TagsForm",
]

Addition = Literal["added", "present", "refused"]


@dataclass(frozen=True)
class AddedForm(Form):
    """One uploaded file: added, present already, or refused with a reason. `id`: of the image."""

    name: str
    status: Addition
    id: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class AdditionsForm(Form):
    """The files of an upload, in order, and how many of each status there are."""

    files: tuple[AddedForm, ...]
    counts: Mapping[Addition, int]

    @classmethod
    def of(cls, files: Sequence[AddedForm]) -> Self:
        """Return the form of files."""
        statuses: tuple[Addition, ...] = ("added", "present", "refused")
        counts = {status: sum(file.status == status for file in files) for status in statuses}
        return cls(tuple(files), counts)


@dataclass(frozen=True)
class RemovedImagesForm(Form):
    """How many images were removed from the library, those given that are not in it, and the id of what undoes it."""

    removed: int
    not_in_library: tuple[str, ...]
    undo: str | None


@dataclass(frozen=True)
class RemovalForm(Form):
    """A removal that can be undone: its images are added again with ids, tags and metadata, if their files are there.

    `names`: of the first files. `at`: when, UTC, ISO.
    """

    id: str
    images: int
    names: tuple[str, ...]
    at: str


@dataclass(frozen=True)
class RemovalsForm(Form):
    """The removals that can be undone, newest first."""

    removals: tuple[RemovalForm, ...]


@dataclass(frozen=True)
class RestoredForm(Form):
    """How many images were added again, and the files that could not be."""

    restored: int
    missing: tuple[SkipForm, ...]


@dataclass(frozen=True)
class TagsForm(Form):
    """The tags of a library, each with its number of images."""

    tags: Mapping[str, int]
